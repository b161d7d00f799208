"""Bare git repositories, one a subscription: writing, reading, serving and upkeep.

Importing any module of this package first configures libgit2, for the whole process, to write durably and to
read nothing outside the repository.
"""

import pygit2
from pygit2.enums import ConfigLevel

# By default libgit2 does not fsync: neither the file of a ref nor the folder that it is renamed in.
pygit2.settings.enable_fsync_gitdir(True)

# Libgit2 would look up every object that a new tree, commit or ref names. `commit_builder` names objects that
# it has just made, and `refs` looks them up itself.
pygit2.settings.enable_strict_object_creation(False)

# Neither the configuration of the account that runs the service nor the owner of the files counts: paths are
# computed from ids, and a volume mounted into a container has an owner of its own.
for _level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL, ConfigLevel.PROGRAMDATA):
    pygit2.settings.search_path[_level] = ""
pygit2.settings.owner_validation = False

# libgit2 keeps every pack that it has read open; between two rounds of upkeep that can be more packs than the
# usual limit of 1,024 files leaves room for.
pygit2.settings.mwindow_file_limit = 256
