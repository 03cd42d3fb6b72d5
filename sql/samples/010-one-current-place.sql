-- One current place a sample: what the mapping of the samples relies on (weeks/mappings/samples.yaml), and what the service
-- means anyway. The service ends the old place before it writes the new one, so that it never meets this index.

-- deploy
CREATE UNIQUE INDEX sample_storage_locations_one_current ON public.sample_storage_locations (sample_id) WHERE is_current;

-- verify
SELECT 1 / count(*) FROM pg_catalog.pg_index
WHERE indexrelid = 'public.sample_storage_locations_one_current'::regclass AND indisunique AND indisvalid;

-- revert
DROP INDEX public.sample_storage_locations_one_current;
