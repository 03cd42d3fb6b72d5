-- The report service's own tables. It takes over nothing from the monolith.

CREATE TABLE report_definitions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            varchar(255) NOT NULL,
    description     text,
    template_id     uuid,
    report_type     varchar(50) NOT NULL,
    query_template  text,
    parameters      jsonb DEFAULT '{}',
    is_active       boolean DEFAULT true,
    created_by      uuid NOT NULL,
    created_at      timestamptz DEFAULT now(),
    updated_at      timestamptz DEFAULT now()
);

CREATE TABLE generated_reports (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    definition_id  uuid REFERENCES report_definitions (id),
    name           varchar(255) NOT NULL,
    description    text,
    status         varchar(50) NOT NULL DEFAULT 'pending',
    format         varchar(20) NOT NULL,
    parameters     jsonb DEFAULT '{}',
    file_path      text,
    file_size      bigint,
    generated_by   uuid NOT NULL,
    started_at     timestamptz,
    completed_at   timestamptz,
    error_message  text,
    created_at     timestamptz DEFAULT now()
);
CREATE INDEX generated_reports_status ON generated_reports (status);
