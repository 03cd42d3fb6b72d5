-- The storage service's own shape: uuids, zones by kind instead of by temperature, and a range of temperatures to keep.

CREATE TYPE storage_zone_type AS ENUM (
    'ultra_low_freezer', 'standard_freezer', 'refrigerated', 'room_temperature', 'incubator'
);
CREATE TYPE movement_type AS ENUM ('storage', 'retrieval', 'relocation', 'maintenance');
CREATE TYPE sensor_type AS ENUM ('temperature', 'humidity', 'pressure', 'co2', 'vibration');
CREATE TYPE sensor_status AS ENUM ('active', 'inactive', 'maintenance', 'error');

CREATE TABLE storage_locations (
    id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                   varchar(255) NOT NULL,
    zone_type              storage_zone_type NOT NULL,
    zone_identifier        varchar(100) NOT NULL,
    temperature_range      numrange NOT NULL,
    humidity_range         numrange,
    capacity               integer NOT NULL DEFAULT 0,
    occupied               integer NOT NULL DEFAULT 0,
    coordinates            jsonb,
    equipment_id           varchar(255),
    equipment_model        varchar(255),
    operational_status     varchar(50) DEFAULT 'operational',
    last_maintenance_date  timestamptz,
    next_maintenance_date  timestamptz,
    location_metadata      jsonb DEFAULT '{}',
    barcode                varchar(255) UNIQUE,
    parent_location_id     uuid REFERENCES storage_locations (id),
    is_active              boolean DEFAULT true,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT storage_locations_capacity_check CHECK (capacity >= 0),
    CONSTRAINT storage_locations_occupied_check CHECK (occupied >= 0 AND occupied <= capacity)
);
CREATE INDEX storage_locations_zone ON storage_locations (zone_type);

CREATE TABLE storage_movement_history (
    id                       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sample_id                uuid,
    movement_type            movement_type NOT NULL,
    from_location_id         uuid REFERENCES storage_locations (id),
    to_location_id           uuid REFERENCES storage_locations (id),
    moved_by                 uuid,
    movement_time            timestamptz NOT NULL DEFAULT now(),
    reason                   text,
    container_barcode        varchar(255),
    position_before          varchar(100),
    position_after           varchar(100),
    temperature_at_movement  numeric(5, 2),
    chain_of_custody_signed  boolean DEFAULT false,
    movement_metadata        jsonb DEFAULT '{}',
    created_at               timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT storage_movement_check CHECK (from_location_id IS NOT NULL OR to_location_id IS NOT NULL)
);
CREATE INDEX storage_movement_history_time ON storage_movement_history (movement_time);

CREATE TABLE iot_sensors (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sensor_id          varchar(255) NOT NULL UNIQUE,
    sensor_type        sensor_type NOT NULL,
    location_id        uuid NOT NULL REFERENCES storage_locations (id) ON DELETE CASCADE,
    name               varchar(255) NOT NULL,
    status             sensor_status DEFAULT 'active',
    threshold_min      numeric(10, 4),
    threshold_max      numeric(10, 4),
    sampling_interval  integer DEFAULT 60 CHECK (sampling_interval > 0),
    last_reading       numeric(10, 4),
    last_reading_time  timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER storage_locations_touch BEFORE UPDATE ON storage_locations
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
