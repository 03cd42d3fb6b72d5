-- The sequencing service's own shape: a job has a number, a run type and a platform, and other states than before.

CREATE TYPE sequencing_platform AS ENUM (
    'illumina_novaseq', 'illumina_miseq', 'illumina_hiseq', 'oxford_nanopore', 'pacbio_sequel', 'ion_torrent'
);
CREATE TYPE job_status AS ENUM ('draft', 'queued', 'running', 'completed', 'failed', 'cancelled', 'paused');
CREATE TYPE priority_level AS ENUM ('low', 'normal', 'high', 'urgent', 'stat');
CREATE TYPE run_type AS ENUM (
    'whole_genome', 'exome', 'targeted_panel', 'rna_seq', 'chip_seq', 'bisulfite_seq', 'amplicon'
);

CREATE TABLE sequencing_instruments (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    instrument_id        varchar(255) NOT NULL UNIQUE,
    name                 varchar(255) NOT NULL,
    platform             sequencing_platform NOT NULL,
    model                varchar(255) NOT NULL,
    serial_number        varchar(255) UNIQUE,
    status               varchar(50) DEFAULT 'operational',
    supported_run_types  run_type[] NOT NULL,
    is_active            boolean DEFAULT true,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sequencing_jobs (
    id                        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id                    varchar(255) NOT NULL UNIQUE,
    job_name                  varchar(255) NOT NULL,
    description               text,
    status                    job_status DEFAULT 'draft',
    priority                  priority_level DEFAULT 'normal',
    run_type                  run_type NOT NULL,
    platform                  sequencing_platform NOT NULL,
    instrument_id             uuid REFERENCES sequencing_instruments (id),
    requester_id              uuid,
    project_id                varchar(255),
    sample_count              integer NOT NULL DEFAULT 0,
    estimated_duration_hours  integer,
    actual_duration_hours     numeric(5, 2),
    sequencing_parameters     jsonb DEFAULT '{}',
    quality_metrics           jsonb DEFAULT '{}',
    submission_date           timestamptz NOT NULL DEFAULT now(),
    scheduled_start           timestamptz,
    actual_start              timestamptz,
    completion_date           timestamptz,
    notes                     text,
    error_message             text,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sequencing_jobs_sample_count_check CHECK (sample_count >= 0),
    CONSTRAINT sequencing_jobs_duration_check CHECK (actual_duration_hours >= 0)
);
CREATE INDEX sequencing_jobs_status ON sequencing_jobs (status);

CREATE TABLE job_samples (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id             uuid NOT NULL REFERENCES sequencing_jobs (id) ON DELETE CASCADE,
    sample_id          uuid NOT NULL,
    sample_position    integer CHECK (sample_position > 0),
    barcode_sequence   varchar(255),
    processing_status  varchar(50) DEFAULT 'pending',
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (job_id, sample_id)
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER sequencing_jobs_touch BEFORE UPDATE ON sequencing_jobs
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
