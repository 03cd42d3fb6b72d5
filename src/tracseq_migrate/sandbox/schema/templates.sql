-- The template service's own shape: a template is data with fields, and a draft until somebody says otherwise.

CREATE TYPE template_status AS ENUM ('draft', 'active', 'deprecated', 'archived');
CREATE TYPE field_type AS ENUM ('text', 'number', 'date', 'boolean', 'select', 'multiselect', 'file');

CREATE TABLE templates (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name               varchar(255) NOT NULL,
    description        text,
    category           varchar(100) NOT NULL,
    status             template_status DEFAULT 'draft',
    version            integer DEFAULT 1,
    template_data      jsonb NOT NULL,
    field_definitions  jsonb DEFAULT '[]',
    validation_rules   jsonb DEFAULT '{}',
    metadata           jsonb DEFAULT '{}',
    is_active          boolean DEFAULT true,
    created_by         uuid,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT templates_version_check CHECK (version > 0)
);
CREATE INDEX templates_category ON templates (category);
CREATE INDEX templates_status ON templates (status);

CREATE TABLE template_fields (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_id        uuid NOT NULL REFERENCES templates (id) ON DELETE CASCADE,
    field_name         varchar(255) NOT NULL,
    field_type         field_type NOT NULL,
    field_label        varchar(255) NOT NULL,
    field_description  text,
    is_required        boolean DEFAULT false,
    field_order        integer DEFAULT 0,
    validation_rules   jsonb DEFAULT '{}',
    default_value      text,
    field_options      jsonb DEFAULT '[]',
    UNIQUE (template_id, field_name)
);

CREATE TABLE template_instances (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_id    uuid NOT NULL REFERENCES templates (id),
    instance_name  varchar(255),
    form_data      jsonb NOT NULL,
    status         varchar(50) DEFAULT 'draft',
    submitted_by   uuid,
    submitted_at   timestamptz,
    approved_by    uuid,
    approved_at    timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now()
);
