-- The monolith's tables as they are before any week: the older shapes, with what grew onto them over the years.
-- Plain PostgreSQL 13 and later, no extension.

CREATE TYPE user_role AS ENUM (
    'admin', 'researcher', 'lab_manager', 'viewer',                           -- of the single sign-on days
    'lab_administrator', 'principal_investigator', 'lab_technician',          -- of the user system that followed
    'research_scientist', 'data_analyst', 'guest'
);
CREATE TYPE user_status AS ENUM ('active', 'inactive', 'pending', 'suspended', 'locked', 'pending_verification');
CREATE TYPE sample_status AS ENUM ('pending', 'validated', 'in_storage', 'in_sequencing', 'completed');
CREATE TYPE job_status AS ENUM ('pending', 'in_progress', 'completed', 'failed');
CREATE TYPE temperature_zone AS ENUM ('-80C', '-20C', '4C', 'RT', '37C');
CREATE TYPE container_type AS ENUM ('tube', 'plate', 'box', 'rack', 'bag');
CREATE TYPE storage_state AS ENUM ('pending', 'validated', 'instorage', 'insequencing', 'completed', 'discarded');

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TABLE users (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    unc_pid               varchar(50) NOT NULL UNIQUE,
    email                 varchar(255) NOT NULL UNIQUE,
    eppn                  varchar(255),
    given_name            varchar(100),
    family_name           varchar(100),
    display_name          varchar(200),
    affiliation           varchar(100),
    department            varchar(200),
    title                 varchar(200),
    role                  user_role NOT NULL DEFAULT 'viewer',
    status                user_status NOT NULL DEFAULT 'pending',
    permissions           jsonb DEFAULT '{}',
    preferences           jsonb DEFAULT '{}',
    created_at            timestamptz DEFAULT now(),
    updated_at            timestamptz DEFAULT now(),
    last_login            timestamptz,
    created_by            uuid REFERENCES users (id),
    metadata              jsonb DEFAULT '{}',
    -- added later, hence nullable: whoever signs in elsewhere has none of these
    password_hash         varchar(255),
    first_name            varchar(100),
    last_name             varchar(100),
    lab_affiliation       varchar(255),
    position              varchar(255),
    phone                 varchar(20),
    office_location       varchar(255),
    email_verified        boolean DEFAULT false,
    failed_login_attempts integer DEFAULT 0,
    locked_until          timestamptz,
    password_changed_at   timestamptz DEFAULT now()
);
CREATE INDEX users_role ON users (role);
CREATE INDEX users_status ON users (status);
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE user_sessions (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash    varchar(255) NOT NULL UNIQUE,
    device_info   varchar(500),
    ip_address    inet,
    expires_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz DEFAULT now()
);
CREATE INDEX user_sessions_user ON user_sessions (user_id);

CREATE TABLE password_reset_tokens (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash  varchar(255) NOT NULL UNIQUE,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE templates (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         varchar(255) NOT NULL,
    description  text,
    file_path    varchar(1024) NOT NULL,
    file_type    varchar(50) NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    metadata     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX templates_created_at ON templates (created_at);

CREATE TABLE samples (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        varchar(255) NOT NULL,
    barcode     varchar(50) NOT NULL UNIQUE,
    location    varchar(255) NOT NULL,
    status      sample_status NOT NULL DEFAULT 'pending',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    metadata    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX samples_status ON samples (status);
CREATE INDEX samples_location ON samples (location);

CREATE TABLE storage_locations (
    id                serial PRIMARY KEY,
    name              varchar(255) NOT NULL,
    description       text,
    temperature_zone  temperature_zone NOT NULL,
    capacity          integer NOT NULL DEFAULT 100,
    current_usage     integer NOT NULL DEFAULT 0,
    container_type    container_type NOT NULL,
    is_active         boolean NOT NULL DEFAULT true,
    location_path     text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT storage_locations_name_unique UNIQUE (name),
    CONSTRAINT storage_locations_capacity_positive CHECK (capacity > 0),
    CONSTRAINT storage_locations_usage_valid CHECK (current_usage >= 0 AND current_usage <= capacity)
);
CREATE TRIGGER storage_locations_touch BEFORE UPDATE ON storage_locations
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- sample_id is an integer although samples.id is a uuid: only the barcode joins the two.
CREATE TABLE sample_locations (
    id               serial PRIMARY KEY,
    sample_id        integer NOT NULL,
    location_id      integer NOT NULL REFERENCES storage_locations (id) ON DELETE RESTRICT,
    barcode          varchar(255) NOT NULL,
    position         varchar(50),
    storage_state    storage_state NOT NULL DEFAULT 'pending',
    stored_at        timestamptz NOT NULL DEFAULT now(),
    stored_by        varchar(255),
    moved_at         timestamptz,
    moved_by         varchar(255),
    notes            text,
    temperature_log  text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sample_locations_barcode_unique UNIQUE (barcode),
    CONSTRAINT sample_locations_sample_unique UNIQUE (sample_id)
);
CREATE INDEX sample_locations_location ON sample_locations (location_id);
CREATE TRIGGER sample_locations_touch BEFORE UPDATE ON sample_locations
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE storage_movement_history (
    id                serial PRIMARY KEY,
    sample_id         integer NOT NULL,
    barcode           varchar(255) NOT NULL,
    from_location_id  integer REFERENCES storage_locations (id),
    to_location_id    integer REFERENCES storage_locations (id),
    from_state        storage_state,
    to_state          storage_state NOT NULL,
    movement_reason   varchar(500) NOT NULL,
    moved_by          varchar(255) NOT NULL,
    moved_at          timestamptz NOT NULL DEFAULT now(),
    notes             text
);
CREATE INDEX storage_movement_history_moved_at ON storage_movement_history (moved_at);

CREATE TABLE sequencing_jobs (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name               varchar(255) NOT NULL,
    status             job_status NOT NULL DEFAULT 'pending',
    sample_sheet_path  varchar(1024) NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    metadata           jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX sequencing_jobs_status ON sequencing_jobs (status);

CREATE TABLE spreadsheet_datasets (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name               varchar(255) NOT NULL,
    filename           varchar(255) NOT NULL,
    file_path          text,
    file_size          bigint,
    sheet_count        integer DEFAULT 1,
    total_rows         integer DEFAULT 0,
    total_columns      integer DEFAULT 0,
    file_type          varchar(50) NOT NULL,
    upload_status      varchar(50) DEFAULT 'pending',
    processing_errors  text,
    metadata           jsonb NOT NULL DEFAULT '{}',
    tags               text[],
    description        text,
    uploaded_by        uuid REFERENCES users (id),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER spreadsheet_datasets_touch BEFORE UPDATE ON spreadsheet_datasets
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE spreadsheet_sheets (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    dataset_id    uuid NOT NULL REFERENCES spreadsheet_datasets (id) ON DELETE CASCADE,
    sheet_name    varchar(255) NOT NULL,
    sheet_index   integer NOT NULL,
    row_count     integer DEFAULT 0,
    column_count  integer DEFAULT 0,
    headers       jsonb,
    metadata      jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dataset_id, sheet_name),
    UNIQUE (dataset_id, sheet_index)
);

-- No service takes this table over: the notification service begins with an empty one of its own.
CREATE TABLE notifications (
    id          bigserial PRIMARY KEY,
    title       varchar(255) NOT NULL,
    message     text NOT NULL,
    channel     varchar(50) NOT NULL DEFAULT 'in_app',
    recipient   varchar(255) NOT NULL,
    priority    varchar(20) NOT NULL DEFAULT 'normal',
    is_read     boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
