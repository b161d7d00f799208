"""The names of the fields of answers."""

CHECK_OUT_FIELDS = {
    *("version_id", "version_number", "commit", "checked_out_by", "checked_out_by_username"),
    *("checked_out_at", "expires_at", "reason"),
}


VERSION_FIELDS = {
    *("version_id", "resource_type", "resource_id", "resource_name", "version_number", "version_tag"),
    *("version_description", "is_current", "is_published", "git_commit_hash", "git_branch", "git_repo_url"),
    *("created_by", "created_by_username", "created_at"),
    *("checked_out_by", "checked_out_at", "checked_in_at"),
}
