-- The dashboard service's own tables. It takes over nothing from the monolith.

CREATE TABLE custom_dashboards (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         varchar(255) NOT NULL,
    description  text,
    owner_id     uuid NOT NULL,
    config       jsonb NOT NULL DEFAULT '{}',
    widgets      jsonb NOT NULL DEFAULT '[]',
    layout       jsonb NOT NULL DEFAULT '{}',
    is_public    boolean DEFAULT false,
    created_at   timestamptz DEFAULT now(),
    updated_at   timestamptz DEFAULT now()
);

CREATE TABLE alerts (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    alert_type       varchar(100) NOT NULL,
    severity         varchar(20) NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    title            varchar(255) NOT NULL,
    description      text,
    source_service   varchar(100),
    is_active        boolean DEFAULT true,
    acknowledged_at  timestamptz,
    created_at       timestamptz DEFAULT now(),
    resolved_at      timestamptz
);

CREATE TABLE kpi_definitions (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name               varchar(255) NOT NULL UNIQUE,
    description        text,
    calculation_query  text NOT NULL,
    unit               varchar(50),
    target_value       numeric,
    is_active          boolean DEFAULT true,
    created_at         timestamptz DEFAULT now(),
    updated_at         timestamptz DEFAULT now()
);
