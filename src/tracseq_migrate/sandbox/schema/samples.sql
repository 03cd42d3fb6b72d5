-- The sample service's own shape: it knows what a sample is made of, forbids blanks, and has opinions on status moves.

CREATE TYPE sample_status AS ENUM (
    'pending', 'validated', 'in_storage', 'in_sequencing', 'completed', 'failed', 'rejected', 'archived', 'deleted'
);

CREATE TABLE samples (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                 varchar(255) NOT NULL,
    barcode              varchar(100) NOT NULL UNIQUE,
    sample_type          varchar(100) NOT NULL,
    status               sample_status NOT NULL DEFAULT 'pending',
    template_id          uuid,
    source_type          varchar(100),
    source_identifier    varchar(255),
    collection_date      timestamptz,
    collection_location  varchar(255),
    collector            varchar(255),
    concentration        numeric(15, 6),
    volume               numeric(15, 6),
    unit                 varchar(50),
    quality_score        numeric(5, 3),
    metadata             jsonb NOT NULL DEFAULT '{}',
    notes                text,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    created_by           varchar(255),
    updated_by           varchar(255),
    CONSTRAINT samples_name_check CHECK (length(trim(name)) > 0),
    CONSTRAINT samples_barcode_check CHECK (length(trim(barcode)) > 0),
    CONSTRAINT samples_sample_type_check CHECK (length(trim(sample_type)) > 0),
    CONSTRAINT samples_concentration_check CHECK (concentration >= 0),
    CONSTRAINT samples_volume_check CHECK (volume >= 0),
    CONSTRAINT samples_quality_score_check CHECK (quality_score BETWEEN 0 AND 100)
);
CREATE INDEX samples_status ON samples (status);
CREATE INDEX samples_metadata ON samples USING gin (metadata);

CREATE TABLE sample_status_history (
    id          serial PRIMARY KEY,
    sample_id   uuid NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
    old_status  sample_status,
    new_status  sample_status NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    changed_by  varchar(255),
    reason      text,
    metadata    jsonb DEFAULT '{}'
);
CREATE INDEX sample_status_history_sample ON sample_status_history (sample_id);

CREATE TABLE sample_storage_locations (
    id                serial PRIMARY KEY,
    sample_id         uuid NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
    location_id       varchar(255) NOT NULL,
    location_type     varchar(100),
    temperature_zone  varchar(50),
    rack_position     varchar(100),
    stored_at         timestamptz NOT NULL DEFAULT now(),
    stored_by         varchar(255),
    removed_at        timestamptz,
    removed_by        varchar(255),
    is_current        boolean NOT NULL DEFAULT true
);
CREATE INDEX sample_storage_locations_sample ON sample_storage_locations (sample_id);

CREATE TABLE sample_relationships (
    id                 serial PRIMARY KEY,
    parent_sample_id   uuid NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
    child_sample_id    uuid NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
    relationship_type  varchar(100) NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    created_by         varchar(255),
    metadata           jsonb DEFAULT '{}',
    UNIQUE (parent_sample_id, child_sample_id, relationship_type),
    CONSTRAINT no_self_reference CHECK (parent_sample_id <> child_sample_id)
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER samples_touch BEFORE UPDATE ON samples FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE FUNCTION check_status_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed text[] := CASE OLD.status
        WHEN 'pending' THEN '{validated,rejected,deleted}'
        WHEN 'validated' THEN '{in_storage,in_sequencing,rejected,deleted}'
        WHEN 'in_storage' THEN '{in_sequencing,rejected,deleted}'
        WHEN 'in_sequencing' THEN '{completed,failed}'
        WHEN 'completed' THEN '{archived}'
        WHEN 'failed' THEN '{pending,deleted}'
        WHEN 'rejected' THEN '{pending,deleted}'
        ELSE '{}'
    END;
BEGIN
    IF NEW.status::text <> ALL (allowed) THEN
        RAISE EXCEPTION 'Invalid status transition from % to %', OLD.status, NEW.status;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER samples_status_move BEFORE UPDATE ON samples FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION check_status_move();

CREATE FUNCTION follow_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sample_status_history (sample_id, old_status, new_status, changed_by, reason)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.updated_by, 'Automatic status change');
    IF OLD.status = 'in_storage' THEN
        UPDATE sample_storage_locations SET is_current = false, removed_at = now(), removed_by = NEW.updated_by
        WHERE sample_id = NEW.id AND is_current;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER samples_follow_status AFTER UPDATE ON samples FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION follow_status();
