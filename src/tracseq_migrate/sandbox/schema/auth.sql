-- The authentication service's own shape: fewer roles, other states, and nothing left unsaid.

CREATE TYPE user_role AS ENUM (
    'guest', 'data_analyst', 'research_scientist', 'lab_technician', 'principal_investigator', 'lab_administrator'
);
CREATE TYPE user_status AS ENUM ('active', 'inactive', 'suspended', 'deleted');

CREATE TABLE users (
    id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email                  varchar(255) NOT NULL UNIQUE,
    password_hash          varchar(255) NOT NULL,
    first_name             varchar(100) NOT NULL,
    last_name              varchar(100) NOT NULL,
    role                   user_role NOT NULL DEFAULT 'guest',
    status                 user_status NOT NULL DEFAULT 'active',
    department             varchar(100),
    position               varchar(100),
    lab_affiliation        varchar(100),
    phone                  varchar(50),
    email_verified         boolean NOT NULL DEFAULT false,
    failed_login_attempts  integer NOT NULL DEFAULT 0,
    locked_until           timestamptz,
    last_login_at          timestamptz,
    password_changed_at    timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_check CHECK (email ~* '^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$')
);
CREATE INDEX users_role ON users (role);
CREATE INDEX users_status ON users (status);

CREATE TABLE user_sessions (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id             uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash          varchar(64) NOT NULL,
    refresh_token_hash  varchar(64),
    device_info         jsonb,
    ip_address          inet,
    user_agent          text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    last_used_at        timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz NOT NULL,
    revoked             boolean NOT NULL DEFAULT false,
    revoked_at          timestamptz
);
CREATE INDEX user_sessions_user ON user_sessions (user_id);
CREATE INDEX user_sessions_token ON user_sessions (token_hash);

CREATE TABLE password_reset_tokens (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash  varchar(64) NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    used        boolean NOT NULL DEFAULT false,
    used_at     timestamptz
);

CREATE TABLE security_audit_log (
    event_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_type  varchar(50) NOT NULL,
    user_id     uuid REFERENCES users (id),
    ip_address  inet,
    user_agent  text,
    resource    varchar(255),
    action      varchar(100),
    outcome     varchar(20),
    severity    varchar(20) NOT NULL DEFAULT 'MEDIUM',
    details     jsonb,
    timestamp   timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE FUNCTION lock_after_failures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.failed_login_attempts >= 5 AND OLD.failed_login_attempts < 5 THEN
        NEW.locked_until := now() + interval '15 minutes';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER users_lock BEFORE UPDATE ON users FOR EACH ROW
    WHEN (NEW.failed_login_attempts IS DISTINCT FROM OLD.failed_login_attempts)
    EXECUTE FUNCTION lock_after_failures();
