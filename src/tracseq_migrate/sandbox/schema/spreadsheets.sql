-- The spreadsheet service's own shape: it keeps versions, and knows the size and the digest of each.

CREATE TYPE version_status AS ENUM ('draft', 'published', 'archived', 'superseded');
CREATE TYPE change_type AS ENUM ('create', 'update', 'delete', 'restore', 'merge');

CREATE TABLE spreadsheet_versions (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    spreadsheet_id   uuid NOT NULL,
    version_number   integer NOT NULL,
    version_name     varchar(255),
    name             varchar(255) NOT NULL,
    filename         varchar(255) NOT NULL,
    file_type        varchar(50) NOT NULL,
    status           version_status DEFAULT 'draft',
    content_hash     varchar(255) NOT NULL,
    file_size_bytes  bigint NOT NULL,
    row_count        integer DEFAULT 0,
    column_count     integer DEFAULT 0,
    sheet_names      jsonb DEFAULT '[]',
    content_summary  jsonb DEFAULT '{}',
    metadata         jsonb DEFAULT '{}',
    created_by       uuid,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    published_at     timestamptz,
    archived_at      timestamptz,
    CONSTRAINT spreadsheet_versions_number_check CHECK (version_number > 0),
    CONSTRAINT spreadsheet_versions_size_check CHECK (file_size_bytes >= 0),
    UNIQUE (spreadsheet_id, version_number)
);
CREATE INDEX spreadsheet_versions_created_at ON spreadsheet_versions (created_at);

CREATE TABLE version_changes (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    version_id      uuid NOT NULL REFERENCES spreadsheet_versions (id) ON DELETE CASCADE,
    change_type     change_type NOT NULL,
    sheet_name      varchar(255),
    cell_range      varchar(100),
    old_value       jsonb,
    new_value       jsonb,
    change_summary  text,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER spreadsheet_versions_touch BEFORE UPDATE ON spreadsheet_versions
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
