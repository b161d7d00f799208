"""Every table, column and function that the specification names, and its corrections."""

import pytest

from tests.support.databases import Database

# From the specification. Left out, because they are computed on read: `audit_logs.user_email`, which
# comes from the erasable `actors` row, and `data_change_history.is_current_version`.
TABLES: dict[str, dict[str, str]] = {
    "audit_logs": {
        "audit_id": "uuid",
        "subscription_id": "uuid",
        "user_id": "uuid",
        "username": "character varying(255)",
        # Wider than specified: other systems have longer names.
        "action": "character varying(200)",
        "resource_type": "character varying(100)",
        "resource_id": "character varying(255)",
        "resource_name": "character varying(500)",
        "old_values": "jsonb",
        "new_values": "jsonb",
        "changes": "jsonb",
        "ip_address": "inet",
        "user_agent": "text",
        "api_endpoint": "character varying(500)",
        "http_method": "character varying(10)",
        "request_id": "character varying(128)",
        "workspace_id": "uuid",
        "folder_id": "uuid",
        "status": "character varying(50)",
        "error_message": "text",
        "created_at": "timestamp with time zone",
    },
    # Wider than specified: other systems have ids that are no UUIDs, and fractions of milliseconds.
    "execution_logs": {
        "log_id": "uuid",
        "subscription_id": "uuid",
        "execution_id": "character varying(255)",
        "execution_type": "character varying(50)",
        "workflow_id": "uuid",
        "job_id": "uuid",
        "jobpackage_id": "uuid",
        "node_id": "character varying(255)",
        "log_level": "character varying(20)",
        "log_message": "text",
        "log_details": "jsonb",
        "duration_ms": "double precision",
        "rows_processed": "bigint",
        "memory_used_mb": "numeric(10,2)",
        "cpu_percent": "numeric(5,2)",
        "status": "character varying(50)",
        "error_code": "character varying(100)",
        "error_details": "jsonb",
        "triggered_by": "character varying(255)",
        "created_at": "timestamp with time zone",
    },
    "server_logs": {
        "log_id": "uuid",
        "request_id": "character varying(128)",
        "http_method": "character varying(10)",
        "endpoint": "character varying(500)",
        "query_params": "jsonb",
        "user_id": "uuid",
        "subscription_id": "uuid",
        "auth_method": "character varying(50)",
        "request_body": "jsonb",
        "response_status": "integer",
        "response_body": "jsonb",
        "response_time_ms": "integer",
        "ip_address": "inet",
        "user_agent": "text",
        "referer": "text",
        "error_message": "text",
        "error_traceback": "text",
        "created_at": "timestamp with time zone",
    },
    "data_change_history": {
        "change_id": "uuid",
        "subscription_id": "uuid",
        "table_name": "character varying(100)",
        # Text, since platforms post changes of their own records by their own people.
        "record_id": "character varying(255)",
        "record_name": "character varying(500)",
        "change_type": "character varying(20)",
        "old_data": "jsonb",
        "new_data": "jsonb",
        "diff": "jsonb",
        "changed_by": "character varying(255)",
        "change_reason": "text",
        "version_number": "integer",
        "changed_at": "timestamp with time zone",
    },
    "versions": {
        "version_id": "uuid",
        "subscription_id": "uuid",
        "resource_type": "character varying(50)",
        "resource_id": "uuid",
        "resource_name": "character varying(500)",
        "version_number": "integer",
        "version_tag": "character varying(100)",
        "version_description": "text",
        "version_data": "jsonb",
        "is_current": "boolean",
        "is_published": "boolean",
        "checked_out_by": "uuid",
        "checked_out_at": "timestamp with time zone",
        "checked_in_at": "timestamp with time zone",
        "git_commit_hash": "character varying(40)",
        "git_branch": "character varying(255)",
        "git_repo_url": "text",
        "created_by": "uuid",
        "created_at": "timestamp with time zone",
    },
    "version_comments": {
        "comment_id": "uuid",
        "version_id": "uuid",
        "comment_text": "text",
        "commented_by": "uuid",
        "commented_at": "timestamp with time zone",
    },
    "deletion_logs": {
        "deletion_id": "uuid",
        "subscription_id": "uuid",
        "resource_type": "character varying(50)",
        "resource_id": "uuid",
        "resource_name": "character varying(500)",
        "resource_data": "jsonb",
        "parent_resource_type": "character varying(50)",
        "parent_resource_id": "uuid",
        "cascade_level": "integer",
        "cascaded_workspaces": "integer",
        "cascaded_folders": "integer",
        "cascaded_jobs": "integer",
        "cascaded_workflows": "integer",
        "cascaded_jobpackages": "integer",
        "cascaded_connectors": "integer",
        "deleted_by": "uuid",
        "deletion_reason": "text",
        "is_soft_delete": "boolean",
        "can_be_restored": "boolean",
        "restore_expiry_at": "timestamp with time zone",
        "deleted_at": "timestamp with time zone",
    },
    "workspaces": {"workspace_id": "uuid", "subscription_id": "uuid", "soft_deleted": "boolean"},
    "folders": {"folder_id": "uuid", "workspace_id": "uuid", "soft_deleted": "boolean"},
    "jobs": {"job_id": "uuid", "folder_id": "uuid", "soft_deleted": "boolean"},
    "workflows": {"workflow_id": "uuid", "job_id": "uuid", "soft_deleted": "boolean"},
    "jobpackages": {"jobpackage_id": "uuid", "soft_deleted": "boolean"},
    "connectors": {"connector_id": "uuid", "soft_deleted": "boolean"},
    "users": {"user_id": "uuid", "username": "character varying(255)"},
    "actors": {"user_id": "uuid", "email": "character varying(255)"},
    "subscriptions": {"subscription_id": "uuid"},
}
TABLES["node_execution_logs"] = TABLES["execution_logs"]
LOG_KEYS = {
    "audit_logs": ["audit_id", "created_at"],
    "execution_logs": ["log_id", "created_at"],
    "node_execution_logs": ["log_id", "created_at"],
    "server_logs": ["log_id", "created_at"],
    "data_change_history": ["change_id", "changed_at"],
}


def columns(database: Database, table: str) -> dict[str, str]:
    """Columns of a table with their types."""
    return dict(
        database.rows(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
    )


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_every_column_of_the_specification(database: Database, table: str) -> None:
    found = columns(database, table)
    assert {name: found.get(name) for name in TABLES[table]} == TABLES[table]


def test_the_function_of_the_specification_is_there_for_operators(database: Database) -> None:
    function = "cascade_delete_workspace(uuid, uuid, boolean)"
    told = database.rows(
        "SELECT pg_get_function_arguments(oid), pg_get_function_result(oid), proacl::text FROM pg_proc"
        " WHERE oid = %s::regprocedure",
        function,
    )
    arguments = "p_workspace_id uuid, p_deleted_by uuid, p_is_soft_delete boolean DEFAULT true"
    assert told == [(arguments, "jsonb", "{annals_owner=X/annals_owner}")]


def test_no_address_is_kept_in_a_log(database: Database) -> None:
    holders = database.rows(
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name LIKE '%%email%%' ORDER BY table_name"
    )
    # Rows of both can be erased.
    assert holders == [("actors",), ("reported_actors",)]


@pytest.mark.parametrize("table", LOG_KEYS)
def test_the_key_of_a_log_ends_in_its_time(database: Database, table: str) -> None:
    key = database.value(
        "SELECT array_agg(attname::text ORDER BY array_position(conkey, attnum)) FROM pg_constraint"
        " JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)"
        " WHERE conrelid = %s::regclass AND contype = 'p'",
        table,
    )
    assert key == LOG_KEYS[table]


def test_logs_outlive_what_they_are_about(database: Database) -> None:
    keys = database.rows(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        " AND conrelid::regclass::text = ANY (%s)",
        list(LOG_KEYS),
    )
    assert keys == []


def test_numbers_and_flags_of_versions_are_guarded_by_the_database(database: Database) -> None:
    indexes = {
        definition.partition(" USING btree ")[2]
        for (definition,) in database.rows("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%%UNIQUE%%'")
    }
    assert {
        "(subscription_id, resource_type, resource_id, version_number)",
        "(resource_type, resource_id) WHERE is_current",
        "(resource_type, resource_id) WHERE is_published",
        "(resource_type, resource_id) WHERE (released_at IS NULL)",
        "(subscription_id, resource_type, resource_id, version_tag) WHERE (version_tag IS NOT NULL)",
    } <= indexes
