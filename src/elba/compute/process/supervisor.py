"""The first process of an instance: its init. Run as a program of its own: `python -I -S supervisor.py DIRECTORY`.

It outlives the control plane that started it, owns every process of the instance and ends them all when it goes.
With namespaces (root, or where users may make them) it is process 1 of a PID namespace, so the kernel itself ends
the instance with it, however it dies; without, it is a "child subreaper", its direct children die with it, and the
provider ends what is left.

Only the standard library, and little of that: it starts in about 30 ms. It imports nothing of Elba's.

Files in DIRECTORY: `launch.json` (what to be; see `Launch` in `provider.py`), `user-data.json` (a BootPlan), `root/`
(the instance's files), `console.log`, `lock` (held while it lives), `control.sock`, `booted` (user data has run).
Control protocol: one JSON object a line each way, {"id", "op", …} answered by {"id", …}; ops ping, run, sample, stop,
reboot.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x04000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

CONSOLE_BYTES = 256 * 1024
"""The console's file is turned over at this size; the one before it is kept."""

KILL_AGAIN_SECONDS = 0.05
SUPERSEDE_SECONDS = 3.0
"""How long daemons that user data left behind have to take the web service's port before that service does."""
RESTART_FIRST_SECONDS, RESTART_MOST_SECONDS = 1.0, 30.0

# The host's own are never to be reached from inside: `shutdown` in user data means the instance.
POWER_COMMANDS = ("shutdown", "poweroff", "halt", "reboot", "telinit", "systemctl", "init")
NOT_COVERED = ("proc", "sys", "dev", "run", "tmp", "lost+found")
SYSTEM_DIRECTORIES = ("/sbin", "/usr/sbin", "/bin", "/usr/bin")

_libc = ctypes.CDLL(None, use_errno=True)
_clock_ticks = os.sysconf("SC_CLK_TCK")


def prctl(option: int, value: int) -> None:
    _libc.prctl(option, value, 0, 0, 0)


def mount(source: str, target: str, type_: str, flags: int, options: str = "") -> bool:
    words = (os.fsencode(source), os.fsencode(target), type_.encode(), ctypes.c_ulong(flags), os.fsencode(options))
    return bool(_libc.mount(*words) == 0)


def mount_points() -> list[str]:
    """Where something is mounted, in order."""
    lines = _read("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines()
    return [line.split()[4].encode().decode("unicode_escape") for line in lines]


def unshare() -> bool:
    """New PID, mount and UTS namespaces (children will be in the first); False if we may not."""
    flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS
    if _libc.unshare(flags) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(flags | CLONE_NEWUSER) != 0:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    return True


class Child:
    """A process that this one started: a service or a step of user data."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.restarts = 0


class Supervisor:
    """One instance. A single thread around one selector; every wait has its place in `_timers`."""

    def __init__(self, directory: str, launch: dict[str, Any], isolated: bool) -> None:
        self.directory = directory
        self.root = os.path.join(directory, "root")
        self.cloud_log = os.path.join(self.root, "var/log/cloud-init-output.log")
        self.launch = launch
        self.isolated = isolated
        self.boots = 0
        self.covered: set[str] = set()
        """Names in / over which the instance has a layer of its own, where it may write as it likes."""
        self.selector = selectors.DefaultSelector()
        self.children: dict[int, Child] = {}
        self.steps: list[dict[str, Any]] = []
        self.ending = ""
        """Why all processes are being ended: stop, reboot or poweroff."""
        self.deadline = 0.0
        self._timers: list[tuple[float, Any]] = []
        self._console_size = 0
        self._console = self._open_console()
        self._services_started = False

    # Beginning.

    def prepare(self) -> None:
        """Become init: signals, mounts, the control socket."""
        if self.isolated:
            mount("none", "/", "none", MS_REC | MS_PRIVATE)
            self._cover_host_files()
            # Where /proc may not be mounted (some containers) the host's stays; only ps and pkill notice.
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            self._cover_power_commands()
        else:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        os.makedirs(os.path.join(self.root, "var/log"), exist_ok=True)
        with contextlib.suppress(OSError), open(self.cloud_log, "ab"):
            pass  # it is there from the start
        self.output = self._pipe(self.print)
        self.cloud_output = self._pipe(self._print_cloud)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.selector.register(wake_read, selectors.EVENT_READ, lambda: self._signals(wake_read))
        with contextlib.suppress(FileNotFoundError):
            os.unlink("control.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("control.sock")
        os.chmod("control.sock", 0o600)
        listener.listen(16)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))

    def _cover_host_files(self) -> None:
        """Lay the instance's own layer over the host's directories, so that what it changes in /etc or /usr is its
        own: in `root/.system`, which goes into its images. Where the kernel or the file system cannot, the
        instance sees and changes the host's files as the user that runs Elba may."""
        plain = not set(self.directory) & set(",:\\\n")
        mounted = mount_points()
        keep = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        missed = []
        for name in sorted(os.listdir("/")) if plain else []:
            host = f"/{name}"
            if name in NOT_COVERED or os.path.islink(host) or not os.path.isdir(host):
                continue
            layer, work = f"{self.root}/.system/{name}", f"{self.directory}/work/{name}"
            os.makedirs(layer, exist_ok=True)
            os.makedirs(work, exist_ok=True)
            # The layers' paths are resolved before anything lies over them.
            below = [at for at in mounted if at.startswith(host + "/") and not at.startswith(self.directory)]
            handles = [(at, os.open(at, os.O_PATH)) for at in below if os.access(at, os.F_OK)]
            options = f"lowerdir={host},upperdir={layer},workdir={work}"
            if mount("overlay", host, "overlay", 0, options) or mount(
                "overlay", host, "overlay", 0, options + ",userxattr"
            ):
                self.covered.add(name)
                for at, handle in handles:
                    mount(f"/proc/self/fd/{handle}", at, "none", MS_BIND | MS_REC)
                if self.directory.startswith(host + "/"):
                    mount(f"/proc/self/fd/{keep}", self.directory, "none", MS_BIND)
            else:
                missed.append(host)
            for _, handle in handles:
                os.close(handle)
        os.close(keep)
        # What people look for at its own place is there.
        for path in ("/etc/elba", "/var/log/cloud-init-output.log"):
            if path.split("/")[1] in self.covered:
                with contextlib.suppress(OSError):
                    if os.path.islink(path):
                        os.unlink(path)
                    os.symlink(self.root + path, path)
        if missed or not plain:
            self.print(f"elba: the host's own files are in reach: {' '.join(missed) or '/'}\n".encode())

    def _cover_power_commands(self) -> None:
        ours = os.path.join(self.root, "bin/shutdown")
        if not os.path.exists(ours):
            return
        targets = {
            os.path.realpath(f"{directory}/{name}") for directory in SYSTEM_DIRECTORIES for name in POWER_COMMANDS
        }
        for target in targets:
            # Not over what serves other names as well (busybox).
            if os.path.isfile(target) and os.path.basename(target) in (*POWER_COMMANDS, "systemd"):
                mount(ours, target, "none", MS_BIND)

    def run(self) -> NoReturn:
        self._boot()
        while True:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self.selector.select(timeout):
                key.data()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, action = self._timers.pop(0)
                action()

    def _after(self, seconds: float, action: Any) -> None:
        self._timers.append((time.monotonic() + seconds, action))
        self._timers.sort(key=lambda timer: timer[0])

    # Booting.

    def _boot(self) -> None:
        self.boots += 1
        self.ending = ""
        self._services_started = False
        hostname = self.launch["hostname"]
        first = not os.path.exists("booted")
        plan = json.loads(_read("user-data.json") or "{}")
        if plan.get("hostname"):
            hostname = plan["hostname"]
        if self.isolated:
            with contextlib.suppress(OSError):
                socket.sethostname(hostname.partition(".")[0][:64])
        self.environment = self._environment(hostname)
        self.print(f"elba: {self.launch['instance_id']} boots as {hostname}\n".encode())
        self.steps = [dict(step, kind="script") for step in plan.get("early", ())]
        if first:
            # Once per instance id, even if it is cut off in the middle: as cloud-init's semaphores.
            _write("booted", b"")
            self.steps += [dict(note, kind="note") for note in ({"text": n} for n in plan.get("notes", ()))]
            self.steps += [dict(file, kind="file") for file in plan.get("files", ())]
        self.steps += [dict(s, kind="script") for s in plan.get("scripts", ()) if first or s.get("always")]
        self._next_step()

    def _environment(self, hostname: str) -> dict[str, str]:
        path = os.path.join(self.root, "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            "PATH": path,
            "HOME": self.root,
            "PWD": self.root,
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "HOSTNAME": hostname,
            "INSTANCE_ID": self.launch["instance_id"],
            "ELBA_ROOT": self.root,
            "ELBA_PYTHON": sys.executable,
            "ELBA_INIT_PID": str(os.getpid()),
            **self.launch["environment"],
        }

    def _next_step(self) -> None:
        """Do steps of user data until one has to be waited for; after the last, start the services."""
        while self.steps and not self.ending:
            step = self.steps.pop(0)
            try:
                if step["kind"] == "note":
                    self._print_cloud(f"elba: {step['text']}\n".encode())
                elif step["kind"] == "file":
                    self._write_file(step)
                else:
                    self._start_script(step)
                    return
            except OSError as error:
                self._print_cloud(f"elba: {step.get('path') or step.get('name')}: {error}\n".encode())
        if not self.ending:
            self._start_services(time.monotonic() + SUPERSEDE_SECONDS)

    def _inside(self, path: str) -> str:
        """`path` as a path under the instance's root directory, whatever dots it holds."""
        if path.startswith(self.root + "/"):
            return path
        return self.root + os.path.normpath("/" + path.lstrip("/"))

    def _write_file(self, file: dict[str, Any]) -> None:
        """Under the instance's root directory; and at its own place where that is the instance's to write."""
        inside = self._inside(file["path"])
        own = os.path.normpath("/" + file["path"].lstrip("/"))
        also = [own] if own.split("/")[1] in self.covered and own != inside else []
        for path in [inside, *also]:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.exists(path) and os.path.exists(inside) and path != inside and os.path.samefile(path, inside):
                continue  # /etc/elba is one directory
            with open(path, "ab" if file.get("append") else "wb") as out:
                out.write(base64.b64decode(file["content"]))
            os.chmod(path, file.get("mode", 0o644))

    def _start_script(self, script: dict[str, Any]) -> None:
        path = os.path.join(self.root, "var/lib/cloud/instance/scripts", script["name"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(base64.b64decode(script["content"]))
        os.chmod(path, 0o700)
        try:
            pid = self.spawn([path], self.cloud_output)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            pid = self.spawn(["/bin/sh", path], self.cloud_output)  # a boothook need not name its interpreter
        self.children[pid] = Child(script["name"], "step")

    # Services: the executables in etc/elba/services, unless etc/elba/disabled has a file of that name.

    def _start_services(self, wait_until: float) -> None:
        if self.ending or self._services_started:
            return
        taken = self._port_taken()
        if not taken and self.descendants() and time.monotonic() < wait_until:
            # User data left daemons behind: should one of them be about to listen, the port is its.
            self._after(0.1, lambda: self._start_services(wait_until))
            return
        self._services_started = True
        services = os.path.join(self.root, "etc/elba/services")
        try:
            names = sorted(os.listdir(services))
        except OSError:
            return
        if taken and "web" in names and not self._disabled("web"):
            self.print(b"elba: the port is taken by a process of the instance's own: web stays off from now on\n")
            os.makedirs(os.path.join(self.root, "etc/elba/disabled"), exist_ok=True)
            _write(os.path.join(self.root, "etc/elba/disabled/web"), b"")
        for name in names:
            self._start_service(name, 0)

    def _disabled(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.root, "etc/elba/disabled", name))

    def _start_service(self, name: str, restarts: int) -> None:
        path = os.path.join(self.root, "etc/elba/services", name)
        if self.ending or self._disabled(name) or not os.access(path, os.X_OK):
            return
        try:
            pid = self.spawn([path], self.output)
        except OSError as error:
            self.print(f"elba: service {name}: {error}\n".encode())
            return
        child = self.children[pid] = Child(name, "service")
        child.restarts = restarts

    def _port_taken(self) -> bool:
        address = self.environment.get("ELBA_ADDRESS", "")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, int(self.environment.get("PORT", "80"))))
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    # Processes.

    def spawn(self, command: list[str], output: int) -> int:
        """Start a process in its own session; its id. Raises: OSError (it could not be executed)."""
        read, write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(command, output, write, parent)
        os.close(write)
        with open(read, "rb") as problem:
            code = problem.read()
        if code:
            os.waitpid(pid, 0)
            raise OSError(int(code), os.strerror(int(code)), command[0])
        return pid

    def _become(self, command: list[str], output: int, problem: int, parent: int) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
                signal.signal(number, signal.SIG_DFL)
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)  # Python ignores the first two, and we the third
            if not self.isolated:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
            nothing = os.open("/dev/null", os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.root)
            os.umask(0o022)
            os.execvpe(command[0], command, self.environment)
        except OSError as error:
            os.write(problem, str(error.errno).encode())
        finally:
            os._exit(127)

    def descendants(self, zombies: bool = False) -> dict[int, tuple[int, ...]]:
        """Ticks (own user, own system, reaped user, reaped system) of every process below this one, by the process
        id that /proc shows."""
        me = int(os.readlink("/proc/self"))
        parents: dict[int, list[int]] = {}
        ticks: dict[int, tuple[int, ...]] = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            fields = _read(f"/proc/{entry}/stat").rpartition(b")")[2].split()
            if not fields:
                continue
            pid = int(entry)
            parents.setdefault(int(fields[1]), []).append(pid)
            if zombies or fields[0] not in (b"Z", b"X"):
                ticks[pid] = tuple(int(f) for f in fields[11:15])
        found: dict[int, tuple[int, ...]] = {}
        todo = [me]
        while todo:
            for pid in parents.get(todo.pop(), ()):
                todo.append(pid)
                if pid in ticks:
                    found[pid] = ticks[pid]
        return found

    def cpu_seconds(self) -> float:
        """CPU time of the whole tree since it began: the living with what they reaped, and what we reaped."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return own + sum(sum(t) for t in self.descendants(zombies=True).values()) / _clock_ticks

    def _kill_all(self, number: int) -> None:
        if self.isolated:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, number)
            return
        for pid in self.descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                if self.ending:
                    self._all_ended()
                return
            if pid == 0:
                return
            child = self.children.pop(pid, None)
            if child is not None and not self.ending:
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        if child.kind == "step":
            if code:
                self._print_cloud(f"elba: {child.name} of user data failed: {how}\n".encode())
            self._next_step()
            return
        # As systemd's Restart=on-failure: a clean end, or being told to end, is meant.
        if child.kind == "service" and code not in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
            wait = min(RESTART_MOST_SECONDS, RESTART_FIRST_SECONDS * 2**child.restarts)
            self.print(f"elba: service {child.name} ended: {how}; starts again in {wait:g} s\n".encode())
            # A reboot meanwhile clears the timer.
            self._after(wait, lambda: self._start_service(child.name, child.restarts + 1))

    # Ending.

    def end(self, why: str, grace_seconds: float) -> None:
        """TERM to all, KILL after the grace; then exit, or boot again. A stop overrules a reboot."""
        deadline = time.monotonic() + grace_seconds
        if self.ending:
            self.deadline = min(self.deadline, deadline)
            if self.ending == "reboot":
                self.ending = why
        else:
            self.ending, self.deadline = why, deadline
            self.print(f"elba: {why}\n".encode())
            if grace_seconds > 0:
                self._kill_all(signal.SIGTERM)
                self._kill_all(signal.SIGCONT)
        self._press()

    def _press(self) -> None:
        if not self.ending:
            return
        if time.monotonic() >= self.deadline:
            self._kill_all(signal.SIGKILL)
        self._after(KILL_AGAIN_SECONDS, self._press)
        self._reap()

    def _all_ended(self) -> None:
        why, self.ending = self.ending, ""
        self.children.clear()
        self._timers.clear()
        if why == "reboot":
            self._boot()
            return
        self.print(b"elba: power off\n")
        with contextlib.suppress(FileNotFoundError):
            os.unlink("control.sock")
        os._exit(0)

    def _signals(self, wake: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(wake, 4096):
                if number == signal.SIGUSR1 or number in (signal.SIGTERM, signal.SIGINT):
                    self.end("poweroff", self.launch["grace_seconds"])
                elif number == signal.SIGUSR2:
                    self.end("reboot", self.launch["grace_seconds"])
        self._reap()

    # Output.

    def _open_console(self) -> int:
        console = os.open("console.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._console_size = os.fstat(console).st_size
        return console

    def print(self, data: bytes) -> None:
        """Append to the console, turning its file over when it is full. A full disk loses output, no more."""
        with contextlib.suppress(OSError):
            os.write(self._console, data)
        self._console_size += len(data)
        if self._console_size > CONSOLE_BYTES:
            with contextlib.suppress(OSError):
                os.replace("console.log", "console.log.1")
                os.close(self._console)
                self._console = self._open_console()

    def _print_cloud(self, data: bytes) -> None:
        self.print(data)
        with contextlib.suppress(OSError), open(self.cloud_log, "ab") as log:
            log.write(data)

    def _pipe(self, sink: Any) -> int:
        """The writing end of a pipe whose output goes to `sink`; it never closes, so daemons may keep it."""
        read, write = os.pipe()
        os.set_blocking(read, False)

        def ready() -> None:
            with contextlib.suppress(BlockingIOError):
                sink(os.read(read, 65536))

        self.selector.register(read, selectors.EVENT_READ, ready)
        return write

    # Control.

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(5.0)  # for answers; what is read is there
        pending = bytearray()

        def ready() -> None:
            try:
                data = connection.recv(65536)
            except OSError:
                data = b""
            pending.extend(data)
            while b"\n" in pending:
                line, _, rest = bytes(pending).partition(b"\n")
                pending[:] = rest
                try:
                    connection.sendall(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
                except (OSError, ValueError):
                    data = b""
            if not data:
                self.selector.unregister(connection)
                connection.close()

        self.selector.register(connection, selectors.EVENT_READ, ready)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"id": request.get("id")}
        match request.get("op"):
            case "ping":
                answer.update(boots=self.boots, isolated=self.isolated)
            case "sample":
                answer.update(cpu_seconds=self.cpu_seconds())
            case "run" if self.ending:
                answer.update(error="the instance is shutting down")
            case "run":
                try:
                    answer.update(pid=self.spawn(request["command"], self.output))
                except OSError as error:
                    answer.update(error=str(error))
            case "stop":
                self.end("stop", request.get("grace_seconds", 0.0))
            case "reboot":
                self.end("reboot", request.get("grace_seconds", 0.0))
            case other:
                answer.update(error=f"no operation {other}")
        return answer


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def main() -> NoReturn:
    """Take the lock, leave the caller's world, and be the instance. The caller's child exits once that works:
    status 0 = it runs, 3 = it ran already."""
    directory = os.path.realpath(sys.argv[1])
    os.chdir(directory)
    lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os._exit(3)
    launch = json.loads(_read("launch.json"))
    for procs in launch["cgroup_procs"]:
        with contextlib.suppress(OSError):
            _write(procs, b"0")
    isolated = launch["namespaces"] and unshare()
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ready_write)
        # In the host's numbers; the instance sees itself as 1.
        os.ftruncate(lock, 0)
        os.write(lock, str(pid).encode())
        ready = os.read(ready_read, 1)
        os._exit(0 if ready else 1)
    os.setsid()
    supervisor = Supervisor(directory, launch, isolated)
    supervisor.prepare()
    # The first process's output was for the control plane; from here on it is the console's.
    for number in (0, 1, 2):
        os.dup2(os.open("/dev/null", os.O_RDWR) if number == 0 else supervisor.output, number)
    os.close(ready_read)
    os.write(ready_write, b"1")
    os.close(ready_write)
    supervisor.run()


if __name__ == "__main__":
    main()
