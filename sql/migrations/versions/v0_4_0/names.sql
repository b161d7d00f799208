-- Names of resources from before 0.4.0 may have blanks around them, invisible characters, or another form of Unicode.
-- They stay as they are; these indexes find them among their siblings, so that no other gets a name that looks like
-- theirs. `sql/models/resources.py` describes the form in which a name is stored today.
--
-- The expressions are written out, since an index does not survive a change of a function that it calls.

DO $$
DECLARE
    form CONSTANT text := $form$regexp_replace(normalize(regexp_replace(regexp_replace(name,
        '[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F'
        '\u3164\uFE00-\uFE0D\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A'
        '\U000E0000-\U000E0FFF]', '', 'g'), '[\u00A0\u2000-\u200A\u202F\u205F]', ' ', 'g'), NFC),
        '^AROUND+|AROUND+$', '', 'g')$form$;
    around CONSTANT text := '[\u0020\u0009-\u000D\u001C-\u001F\u0085\u1680\u2028\u2029\u3000\u2800]';
    comparable text := replace(form, 'AROUND', around);
    kind record;
BEGIN
    FOR kind IN
        SELECT * FROM (VALUES
            ('workspaces', 'subscription_id'),
            ('folders', 'COALESCE(parent_folder_id, workspace_id)'),
            ('jobs', 'folder_id'),
            ('workflows', 'job_id'),
            ('jobpackages', 'folder_id'),
            ('connectors', 'workspace_id')
        ) AS kinds (name, parent)
    LOOP
        EXECUTE format('CREATE INDEX %I ON %I ((%s)) WHERE deleted_at IS NULL AND name <> %s',
            'ix_' || kind.name || '_unusual_name', kind.name, kind.parent, comparable);
    END LOOP;
END
$$;

-- Tags are unique without regard to case from now on; older ones stay as they are.
ALTER TABLE tags ADD COLUMN tag_key VARCHAR(100) GENERATED ALWAYS AS (lower(tag)) STORED;
CREATE INDEX ix_tags_open_key ON tags (resource_type, resource_id, tag_key) WHERE untagged_at IS NULL;
