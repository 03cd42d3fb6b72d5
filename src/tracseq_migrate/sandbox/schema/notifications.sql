-- The notification service's own tables. It takes over nothing from the monolith.

CREATE TYPE notification_channel AS ENUM ('email', 'slack', 'sms', 'webhook', 'push', 'in_app');
CREATE TYPE notification_priority AS ENUM ('low', 'normal', 'high', 'urgent', 'critical');
CREATE TYPE notification_status AS ENUM ('pending', 'sent', 'delivered', 'failed', 'retrying', 'cancelled');

CREATE TABLE notification_recipients (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                varchar(255) NOT NULL,
    type                varchar(50) NOT NULL,
    email               varchar(255),
    preferred_channels  notification_channel[] DEFAULT '{email}',
    is_active           boolean DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE notifications (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    subject            text NOT NULL,
    body               text NOT NULL,
    html_body          text,
    priority           notification_priority DEFAULT 'normal',
    channel            notification_channel NOT NULL,
    recipient_id       uuid REFERENCES notification_recipients (id),
    recipient_address  text NOT NULL,
    status             notification_status DEFAULT 'pending',
    scheduled_for      timestamptz DEFAULT now(),
    sent_at            timestamptz,
    delivered_at       timestamptz,
    error_message      text,
    retry_count        integer DEFAULT 0,
    max_retries        integer DEFAULT 3,
    context_data       jsonb DEFAULT '{}',
    correlation_id     varchar(255),
    source_service     varchar(100),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notifications_retry_check CHECK (retry_count >= 0 AND retry_count <= max_retries)
);
CREATE INDEX notifications_status ON notifications (status);

CREATE TABLE delivery_attempts (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    notification_id    uuid NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    attempt_number     integer NOT NULL CHECK (attempt_number > 0),
    channel            notification_channel NOT NULL,
    recipient_address  text NOT NULL,
    attempted_at       timestamptz NOT NULL DEFAULT now(),
    status             varchar(50) NOT NULL,
    response_message   text
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER notifications_touch BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
