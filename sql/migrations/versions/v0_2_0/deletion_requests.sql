-- Deletions that operators ask for in SQL. `sql/models/deletion_requests.py` describes the table.

CREATE TABLE deletion_requests (
    request_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    requested_by UUID NOT NULL,
    is_soft_delete BOOLEAN NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    deletion_id UUID,
    problem TEXT,
    CONSTRAINT pk_deletion_requests PRIMARY KEY (request_id),
    CONSTRAINT fk_deletion_requests_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_deletion_requests_requested_by FOREIGN KEY(requested_by) REFERENCES actors (user_id),
    CONSTRAINT fk_deletion_requests_deletion_id FOREIGN KEY(deletion_id) REFERENCES deletion_logs (deletion_id),
    CONSTRAINT ck_deletion_requests_outcome CHECK (
        num_nonnulls(deletion_id, problem) = CASE WHEN done_at IS NULL THEN 0 ELSE 1 END
    )
);
CREATE UNIQUE INDEX uq_deletion_requests_waiting
    ON deletion_requests (workspace_id, is_soft_delete) WHERE done_at IS NULL;
CREATE INDEX ix_deletion_requests_waiting
    ON deletion_requests (subscription_id, requested_at, request_id) WHERE done_at IS NULL;

-- The specification's function, for operators. SQL can't write git, so it adds a request: the service deletes, within
-- about a second, in one commit and with all its records (docs/decisions/0017-cascade-in-sql.md). The counts are of
-- the resources that are live now. It acts as the owner: a role that is granted EXECUTE needs no right on any table.
CREATE FUNCTION cascade_delete_workspace(
    p_workspace_id UUID,
    p_deleted_by UUID,
    p_is_soft_delete BOOLEAN DEFAULT TRUE
) RETURNS JSONB LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $cascade$
DECLARE
    v_subscription_id UUID;
    v_deleted_at TIMESTAMP WITH TIME ZONE;
    v_request_id UUID;
    v_counts JSONB;
BEGIN
    SELECT subscription_id, deleted_at INTO v_subscription_id, v_deleted_at
    FROM public.workspaces WHERE workspace_id = p_workspace_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no workspace %', p_workspace_id USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT EXISTS (
        SELECT FROM public.actors WHERE user_id = p_deleted_by AND subscription_id = v_subscription_id
    ) THEN
        RAISE EXCEPTION 'there is no user % in the subscription % of the workspace', p_deleted_by, v_subscription_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF p_is_soft_delete AND v_deleted_at IS NOT NULL THEN
        RAISE EXCEPTION 'the workspace % is deleted already, since %', p_workspace_id, v_deleted_at
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'With p_is_soft_delete => false it is deleted for good.';
    END IF;
    -- Try again where the waiting request was carried out between the two statements.
    LOOP
        INSERT INTO public.deletion_requests
            (request_id, subscription_id, workspace_id, requested_by, is_soft_delete, requested_at)
        VALUES (
            gen_random_uuid(), v_subscription_id, p_workspace_id, p_deleted_by, p_is_soft_delete,
            clock_timestamp()
        )
        ON CONFLICT (workspace_id, is_soft_delete) WHERE done_at IS NULL DO NOTHING
        RETURNING request_id INTO v_request_id;
        EXIT WHEN FOUND;
        SELECT request_id INTO v_request_id FROM public.deletion_requests
        WHERE workspace_id = p_workspace_id AND is_soft_delete = p_is_soft_delete AND done_at IS NULL;
        EXIT WHEN FOUND;
    END LOOP;
    SELECT jsonb_object_agg(below.collection, below.number) INTO v_counts FROM (
        SELECT 'workspaces' AS collection, count(*) AS number FROM public.workspaces
        WHERE workspace_id = p_workspace_id AND deleted_at IS NULL
        UNION ALL SELECT 'folders', count(*) FROM public.folders
        WHERE workspace_id = p_workspace_id AND deleted_at IS NULL
        UNION ALL SELECT 'jobs', count(*) FROM public.jobs
        WHERE workspace_id = p_workspace_id AND deleted_at IS NULL
        UNION ALL SELECT 'workflows', count(*) FROM public.workflows
        WHERE workspace_id = p_workspace_id AND deleted_at IS NULL
        UNION ALL SELECT 'jobpackages', count(*) FROM public.jobpackages
        WHERE workspace_id = p_workspace_id AND deleted_at IS NULL
        UNION ALL SELECT 'connectors', count(*) FROM public.connectors
        WHERE workspace_id = p_workspace_id AND deleted_at IS NULL
    ) below;
    RETURN jsonb_build_object('request_id', v_request_id, 'state', 'waiting') || v_counts;
END
$cascade$;
