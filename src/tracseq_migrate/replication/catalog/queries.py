"""The questions to the catalog. ``$1`` is mostly an array of the tables' numbers, as a text.

PostgreSQL opens a table to say how large it is and to write an expression out: ACCESS SHARE, which waits for who rebuilds it.
"""

from __future__ import annotations

DATABASE = """
SELECT current_user::text,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       has_database_privilege(current_database(), 'CREATE'),
       pg_is_in_recovery(),
       current_setting('server_encoding'),
       (SELECT count(*) FROM pg_largeobject_metadata),
       quote_ident(current_database())
"""

TABLES = """
WITH RECURSIVE mine AS (
    SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', $2::text) AND n.nspname !~ '^pg_(toast|temp)'
), wanted(oid) AS (
    SELECT oid FROM mine
    WHERE $1::text[] IS NULL
       OR CASE WHEN nspname = 'public' THEN relname::text ELSE nspname || '.' || relname END = ANY($1::text[])
    UNION
    SELECT i.inhrelid FROM wanted w JOIN pg_inherits i ON i.inhparent = w.oid
    JOIN pg_class p ON p.oid = w.oid AND p.relkind = 'p'
), tree(root, oid) AS (
    SELECT c.oid, c.oid FROM wanted w JOIN pg_class c ON c.oid = w.oid WHERE c.relkind = 'p'
    UNION ALL
    SELECT t.root, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
), leaves AS (
    SELECT t.root, array_agg(ARRAY[n.nspname::text, c.relname::text] ORDER BY n.nspname, c.relname) AS names,
           sum(greatest(c.reltuples, 0))::bigint AS tuples, bool_or(c.reltuples < 0) AS unknown,
           array_agg(c.oid) AS oids
    FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind <> 'p'
    JOIN pg_namespace n ON n.oid = c.relnamespace
    GROUP BY t.root
), sizes AS (
    SELECT x.oid, pg_table_size(x.oid) AS bytes
    FROM (SELECT oid FROM wanted UNION SELECT unnest(oids) FROM leaves) x JOIN pg_class c ON c.oid = x.oid
    WHERE c.relkind IN ('r', 'm')
)
SELECT c.oid::bigint, c.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
       pg_get_userbyid(c.relowner)::text, pg_has_role(c.relowner, 'USAGE'),
       row_security_active(c.oid), c.relrowsecurity, has_schema_privilege(c.relnamespace, 'USAGE'),
       (SELECT array_agg(r) FROM unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','TRIGGER','REFERENCES']) r
        WHERE has_table_privilege(c.oid, r)),
       CASE WHEN c.relkind = 'p' THEN CASE WHEN l.unknown THEN -1 ELSE coalesce(l.tuples, 0) END
            WHEN c.reltuples < 0 OR c.reltuples = 0 AND c.relpages = 0 THEN -1
            ELSE c.reltuples::bigint END,
       coalesce(CASE WHEN c.relkind = 'p' THEN (SELECT sum(s.bytes)::bigint FROM sizes s WHERE s.oid = ANY(l.oids))
                     ELSE (SELECT s.bytes FROM sizes s WHERE s.oid = c.oid) END, 0),
       l.names,
       CASE WHEN c.relkind = 'r' THEN
            (SELECT array_agg(DISTINCT ARRAY[rn.nspname::text, rc.relname::text])
             FROM (SELECT inhparent AS other FROM pg_inherits WHERE inhrelid = c.oid AND NOT c.relispartition
                   UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid) h
             JOIN pg_class rc ON rc.oid = h.other JOIN pg_namespace rn ON rn.oid = rc.relnamespace) END,
       CASE WHEN c.relhasrules AND c.relkind IN ('r', 'p') THEN
            (SELECT array_agg(pg_get_ruledef(w.oid) ORDER BY w.rulename) FROM pg_rewrite w
             WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN') END
FROM mine c JOIN (SELECT DISTINCT oid FROM wanted) w ON w.oid = c.oid
LEFT JOIN leaves l ON l.root = c.oid
ORDER BY c.nspname, c.relname
"""

COLUMNS = """
WITH drawn AS (
    SELECT DISTINCT ON (d.adrelid, d.adnum) d.adrelid, d.adnum, ARRAY[n.nspname::text, s.relname::text] AS name
    FROM pg_attrdef d
    JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE d.adrelid = ANY($1::oid[])
    ORDER BY d.adrelid, d.adnum, s.relname
), owned AS (
    SELECT DISTINCT ON (p.refobjid, p.refobjsubid) p.refobjid, p.refobjsubid,
           ARRAY[n.nspname::text, s.relname::text] AS name
    FROM pg_depend p
    JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjsubid > 0
      AND p.deptype IN ('a', 'i') AND p.refobjid = ANY($1::oid[])
    ORDER BY p.refobjid, p.refobjsubid, p.deptype DESC, s.relname
)
SELECT a.attrelid::bigint, a.attname::text, a.attnum::int, a.atttypid::bigint, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attgenerated::text <> '', a.attidentity::text,
       CASE WHEN l.oid IS NOT NULL THEN ARRAY[ln.nspname::text, l.collname::text] END,
       coalesce(l.collisdeterministic, true), coalesce(o.name, w.name)
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
LEFT JOIN owned o ON o.refobjid = a.attrelid AND o.refobjsubid = a.attnum
LEFT JOIN drawn w ON w.adrelid = a.attrelid AND w.adnum = a.attnum
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""


def types(version: int) -> str:
    """Every type of the tables' columns, and what these are made of."""
    multirange = "r.rngtypid = t.oid OR r.rngmultitypid = t.oid" if version >= 14 else "r.rngtypid = t.oid"
    inside = "CASE WHEN r.rngtypid = t.oid THEN r.rngsubtype ELSE r.rngtypid END"
    return f"""
WITH RECURSIVE wanted(oid) AS (
    SELECT DISTINCT a.atttypid FROM pg_attribute a
    WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT x.oid FROM wanted w JOIN pg_type t ON t.oid = w.oid
    LEFT JOIN pg_range r ON {multirange}
    CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem), ({inside})) AS x(oid)
    WHERE x.oid <> 0
)
SELECT t.oid::bigint, n.nspname::text, t.typname::text, format_type(t.oid, -1), t.typtype::text,
       e.oid IS NOT NULL, coalesce(e.oid, {inside})::bigint,
       (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid),
       (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname) FROM pg_constraint k
        WHERE k.contypid = t.oid AND k.contype = 'c'),
       t.typnotnull, t.typbasetype::bigint, t.typtypmod,
       CASE WHEN t.typbasetype <> 0 THEN format_type(t.typbasetype, t.typtypmod) END
FROM wanted w JOIN pg_type t ON t.oid = w.oid JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
LEFT JOIN pg_range r ON {multirange}
"""


def indexes(version: int) -> str:
    distinct = "NOT i.indnullsnotdistinct" if version >= 15 else "true"
    return f"""
SELECT i.indrelid::bigint, x.relname::text,
       (SELECT array_agg(coalesce(a.attname::text, '') ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
        WHERE k.place <= i.indnkeyatts),
       i.indisunique, i.indisprimary, i.indisvalid, pg_get_expr(i.indpred, i.indrelid), pg_get_indexdef(i.indexrelid),
       (SELECT k.conname::text FROM pg_constraint k
        WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x') LIMIT 1),
       i.indimmediate, {distinct}
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY($1::oid[])
ORDER BY i.indrelid, x.relname
"""


# A foreign key to a partitioned table has a row for each of its partitions, too: they are PostgreSQL's own affair.
CONSTRAINTS = """
SELECT k.conrelid::bigint, k.conname::text, k.contype::text, pg_get_constraintdef(k.oid),
       (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
       k.convalidated, k.condeferrable,
       CASE WHEN k.confrelid <> 0 THEN
            (SELECT ARRAY[n.nspname::text, c.relname::text] FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = k.confrelid) END,
       (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number),
       k.confdeltype::text, k.confupdtype::text
FROM pg_constraint k LEFT JOIN pg_constraint up ON up.oid = k.conparentid
WHERE k.conrelid = ANY($1::oid[]) AND (up.oid IS NULL OR up.conrelid <> k.conrelid)
ORDER BY k.conrelid, k.conname
"""

INCOMING = """
SELECT k.confrelid::bigint, ARRAY[n.nspname::text, c.relname::text], k.conname::text,
       (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
       k.confdeltype::text, k.confupdtype::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY($1::oid[])
ORDER BY k.confrelid, n.nspname, c.relname, k.conname
"""

TRIGGERS = """
SELECT t.tgrelid::bigint, t.tgname::text, t.tgenabled::text, pg_get_triggerdef(t.oid),
       ARRAY[n.nspname::text, p.proname::text]
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE t.tgrelid = ANY($1::oid[]) AND NOT t.tgisinternal AND n.nspname <> $2::text
ORDER BY t.tgrelid, t.tgname
"""

SEQUENCES = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, s.seqincrement, s.seqcache, s.seqmin, s.seqmax,
       format_type(s.seqtypid, NULL), s.seqcycle,
       has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT')
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND (
    $2::boolean AND n.nspname NOT IN ('pg_catalog', 'information_schema', $3::text)
    OR c.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
                 AND refobjid = ANY($1::oid[]) AND deptype IN ('a', 'i'))
    OR c.oid IN (SELECT p.refobjid FROM pg_depend p JOIN pg_attrdef d ON d.oid = p.objid
                 WHERE p.classid = 'pg_attrdef'::regclass AND p.refclassid = 'pg_class'::regclass
                 AND d.adrelid = ANY($1::oid[])))
ORDER BY n.nspname, c.relname
"""

OURS = """
WITH home AS (SELECT oid FROM pg_namespace WHERE nspname = $1::text)
SELECT 'schema ' || $1::text FROM home
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' ELSE 'table ' END || c.relname
FROM pg_class c JOIN home h ON h.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'S', 'v')
UNION ALL
SELECT 'function ' || p.proname FROM pg_proc p JOIN home h ON h.oid = p.pronamespace
UNION ALL
SELECT 'trigger ' || t.tgname || ' on ' || n.nspname || '.' || c.relname
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN home h ON h.oid = p.pronamespace
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal
ORDER BY 1
"""
