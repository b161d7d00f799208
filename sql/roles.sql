-- The roles of Annals, cluster-wide, none of which can log in: a login user takes one with SET ROLE.
-- Idempotent, and safe beside another database's upgrade in the same cluster.
DO $roles$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'annals_owner', 'annals_service', 'annals_ingest', 'annals_retention', 'annals_sealer'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's upgrade made it between the look and the act
            END;
        END IF;
        IF NOT pg_has_role(current_user, role_name, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE', role_name);
        END IF;
    END LOOP;
    IF NOT has_schema_privilege('annals_owner', 'public', 'CREATE') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO annals_owner;
    END IF;
END
$roles$;
