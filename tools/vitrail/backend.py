"""Which server a tablet runs on: MariaDB, which the system has, or a MySQL in a folder of its own (./dev mysql-server)."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile

from vitrail.processes import Failure

KINDS = ("mariadb", "mysql")


class Words:
    """What the kinds call one thing, for tests that look at their servers."""

    def __init__(self, **words):
        self.__dict__.update(words)


# written: what this server's binlog has; applied: also what it has from others. waits: part of a statement that waits for a position.
# lock: an access that keeps replication from a table, on a server that is read-only.
WORDS = {
    "mariadb": Words(version="MariaDB", position=r"^MariaDB/0-\d+-\d+$", written="select @@global.gtid_binlog_pos",
                     applied="select @@global.gtid_current_pos", waits="master_gtid_wait", lock="write", source="master", replica="slave",
                     stop="stop slave", start="start slave", forget="reset slave all", read_only="read_only", isolation="tx_isolation",
                     wait_for="select master_gtid_wait('{}', 20)", transaction_open="@@in_transaction",
                     column="`{}`.`{}`.`{}`", follow="change master to master_host = '127.0.0.1', master_port = {}, master_user = 'vt_repl', "
                            "master_use_gtid = current_pos"),
    "mysql": Words(version=r"^[89]\.", position=r"^MySQL56/[0-9a-f-]{36}:\d+(-\d+)?", written="select @@global.gtid_executed",
                   applied="select @@global.gtid_executed", waits="wait_for_executed_gtid_set", lock="read", source="source",
                   replica="replica", stop="stop replica", start="start replica", forget="reset replica all", read_only="super_read_only",
                   isolation="transaction_isolation", wait_for="select wait_for_executed_gtid_set('{}', 20)",
                   transaction_open="(select count(*) from information_schema.innodb_trx where trx_mysql_thread_id = connection_id())",
                   column="column '{2}'", follow="change replication source to source_host = '127.0.0.1', source_port = {}, source_user = 'vt_repl', "
                          "source_auto_position = 1, get_source_public_key = 1"),
}


def transactions_in(position):
    """How many transactions a position of the server has; for MariaDB the number of the last one."""
    if ":" not in position:
        return int(position.split("-")[-1])
    return sum(int(last or first) - int(first) + 1 for first, last in re.findall(r":(\d+)(?:-(\d+))?", position))
PACKAGES = ("mysql-server-core", "mysql-client-core")
# Never run from there: scripts that these packages have for other purposes need them.
LEFT_OUT = re.compile(r"^(perl|perl-base|perl-modules-.*|libperl.*)$")

# A library of this folder would not do for the system's programs, nor the other way round: each program is started by the
# folder's own loader, and is seen in the list of processes as what it is.
WRAPPER = """#!/bin/bash
here=$(dirname "$(dirname "$(readlink -f "$0")")")
root=$here/root
exec -a "$here/bin/{name}" "$root{loader}" --argv0 "$here/bin/{name}" --library-path "{libraries}" "$root{program}" "$@"
"""


def wanted():
    """The kind of server for clusters and tests: VITRAIL_BACKEND, as `./dev test --backend` sets it."""
    kind = os.environ.get("VITRAIL_BACKEND") or "mariadb"
    if kind not in KINDS:
        raise Failure(f"VITRAIL_BACKEND is {kind}: one of {', '.join(KINDS)} is meant")
    return kind


def mysql_folder():
    return os.path.abspath(os.environ.get("VITRAIL_MYSQL") or os.path.expanduser("~/.cache/vitrail/mysql"))


def version_of(root):
    """What the server in this folder says of itself; None when there is none, or it does not run."""
    try:
        done = subprocess.run([os.path.join(root, "bin", "mysqld"), "--no-defaults", "--version"], capture_output=True, text=True,
                              timeout=60, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def find_mysql():
    """The folder of a MySQL server, for VT_MYSQL_ROOT: the one that is named there already, or ours. None: there is none."""
    for root in (os.environ.get("VT_MYSQL_ROOT"), mysql_folder()):
        version = version_of(root) if root else None
        if version is not None and "mariadb" not in version.lower():
            return root
    return None


def environment(kind):
    """Variables for mysqlctl and vttablet, so that they find this kind of server."""
    if kind == "mariadb":
        return {}
    root = find_mysql()
    if root is None:
        raise Failure("there is no MySQL server: `./dev mysql-server` fetches one, or set VT_MYSQL_ROOT to the folder that holds its bin/")
    return {"VT_MYSQL_ROOT": root}


def without_mysql():
    """Why tests on MySQL are left out here; None when they need not be."""
    return None if find_mysql() is not None else "there is no MySQL server here: `./dev mysql-server` fetches one"


def debian_mirror():
    """The mirror that apt's own configuration names for Debian, as it is written there."""
    try:
        done = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
                              capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        raise Failure("MySQL comes from Debian's packages, and apt is not here") from None
    for line in done.stdout.splitlines():
        origin, _, uri = line.partition(" ")
        if origin == "Debian" and not uri.rstrip("/").endswith("-security"):
            return uri.rstrip("/")
    raise Failure("MySQL comes from Debian unstable, and apt's configuration names no mirror of Debian (or `apt-get update` never ran)")


def apt(folder, *arguments, seconds=600, where=None):
    """apt-get with lists, state and cache in `folder` alone."""
    options = {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": f"{folder}/sources",
               "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": f"{folder}/none",
               "Dir::State::lists": f"{folder}/lists", "Dir::State::status": f"{folder}/status",
               "Dir::State::extended_states": f"{folder}/extended_states", "Dir::Cache": folder,
               "Dir::Cache::archives": f"{folder}/archives", "Acquire::Languages": "none", "Debug::NoLocking": "1",
               "Acquire::Retries": "2"}
    if os.getuid() == 0:
        options["APT::Sandbox::User"] = "root"
    argv = ["apt-get", "-q", "-y", *[f"-o{name}={value}" for name, value in options.items()], *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=seconds, check=False, cwd=where, env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:", "Err:"))] or done.stdout.splitlines()
        raise Failure(f"apt could not fetch MySQL from Debian unstable ({arguments[0]}): " + "; ".join(errors[-4:]))


def fetch_packages(work):
    mirror = debian_mirror()
    for name in ("sources", "none", "lists/partial", "archives/partial"):
        os.makedirs(os.path.join(work, name))
    open(os.path.join(work, "status"), "w", encoding="utf-8").close()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    with open(os.path.join(work, "sources", "unstable.sources"), "w", encoding="utf-8") as file:
        file.write(f"Types: deb\nURIs: {mirror}\nSuites: unstable\nComponents: main\n"
                   + (f"Signed-By: {keyring}\n" if os.path.exists(keyring) else ""))
    apt(work, "update")
    apt(work, "install", "--download-only", "--no-install-recommends", *PACKAGES)


def unpack(archives, root):
    os.makedirs(root)
    for name in sorted(os.listdir(archives)):
        if name.endswith(".deb") and not LEFT_OUT.match(name.split("_")[0]):
            subprocess.run(["dpkg-deb", "-x", os.path.join(archives, name), root], check=True, stdout=subprocess.DEVNULL)


def find_below(root, name):
    for folder, _, names in os.walk(root):
        if name in names:
            return os.path.join(folder, name)[len(root):]
    raise Failure(f"the packages of MySQL hold no {name}")


def lay_out(folder):
    """Programs that can be started where they are, and the folders in which a server looks for its files."""
    root = os.path.join(folder, "root")
    machine = os.uname().machine
    loader = next((find_below(root, name) for name in ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1") if machine.replace("_", "-") in name), None)
    if loader is None:
        raise Failure(f"there is no MySQL for this kind of machine ({machine})")
    libraries = [path for path in (f"/usr/lib/{machine}-linux-gnu", "/usr/lib/mysql/private", f"/usr/lib/{machine}-linux-gnu/mysql/private",
                                   f"/lib/{machine}-linux-gnu", "/usr/lib") if os.path.isdir(root + path)]
    os.makedirs(os.path.join(folder, "bin"))
    for name in ("mysqld", "mysql", "mysqldump", "mysqlbinlog", "mysqladmin"):
        program = find_below(root, name)
        path = os.path.join(folder, "bin", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(WRAPPER.format(name=name, loader=loader, program=program,
                                      libraries=":".join("$root" + path for path in libraries)))
        os.chmod(path, 0o755)
    for name in ("share", "lib"):
        os.symlink(os.path.join("root", "usr", name), os.path.join(folder, name))


def fetch_mysql(note=lambda text: None):
    """Fetches MySQL into mysql_folder() unless it is there, and returns that folder. Failure says why it cannot be had."""
    folder = mysql_folder()
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if version_of(folder) is not None:
            return folder
        note(f"fetching MySQL from Debian unstable into {folder}")
        work = tempfile.mkdtemp(prefix="mysql-", dir=os.path.dirname(folder))
        try:
            fetch_packages(os.path.join(work, "apt"))
            made = os.path.join(work, "made")
            unpack(os.path.join(work, "apt", "archives"), os.path.join(made, "root"))
            lay_out(made)
            if version_of(made) is None:
                raise Failure("the MySQL server of Debian unstable does not start on this machine")
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(made, folder)
        except (subprocess.SubprocessError, OSError) as error:
            raise Failure(f"MySQL could not be fetched: {error}") from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder
