"""libvirt beside the engine: a libvirtd of its own, driven through libvirt-python. Run by the system's Python.

It runs in mount and PID namespaces of its own (``unshare``), with empty folders over libvirt's, so it meets no other
libvirtd and leaves nothing, not even a guest, however it ends. Its one argument is a JSON file: ``work`` says what
to do with ``documents`` (``guests``, for ``bench_qemu``; ``down``, for ``bench_down``;
``written``, for ``bench_documents``; ``listed``, for ``bench_server``). Prints one JSON object with the
seconds of each round.
"""

import json
import os
import subprocess
import sys
import threading
import time

COVERED = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
GUESTS = "/usr/lib/libvirt/libvirt-guests.sh"
LIBVIRTD = 'unix_sock_group = "root"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
QEMU = (
    'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nsecurity_driver = "none"\nnamespaces = []\n'
    'cgroup_controllers = []\nstdio_handler = "file"\nremember_owner = 0\n'
)


def begin(request):
    """As the namespace's first process: takes in what others leave, or libvirtd would wait for its dead guests."""
    worker = os.fork()
    if worker == 0:
        main(**request)
        return
    while True:
        pid, status = os.wait()
        if pid == worker:
            sys.exit(os.waitstatus_to_exitcode(status))


def main(work, **arguments):
    for folder in COVERED:
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    os.makedirs("/etc/libvirt/qemu", exist_ok=True)
    for name, text in (("libvirtd.conf", LIBVIRTD), ("qemu.conf", QEMU)):
        with open(f"/etc/libvirt/{name}", "w") as file:
            file.write(text)
    add_user()
    with open("/var/log/libvirt/daemon.log", "wb") as log:
        daemon = subprocess.Popen(["libvirtd", "-f", "/etc/libvirt/libvirtd.conf"], stdout=log, stderr=log)
    try:
        print(json.dumps(WORK[work](connect(), **arguments)))
    finally:
        daemon.terminate()
        daemon.wait()


def add_user():
    """libvirtd looks for its user even when it is configured to use another; unpacked alone, the package made none."""
    for path, line in (
        ("/etc/passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n"),
        ("/etc/group", "libvirt-qemu:x:64055:\nkvm:x:64056:\n"),
    ):
        with open(path) as file:
            text = file.read()
        if "libvirt-qemu" not in text:
            copy = f"/etc/libvirt/{os.path.basename(path)}"
            with open(copy, "w") as file:
                file.write(text + line)
            subprocess.run(["mount", "--bind", copy, path], check=True)


def connect():
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    deadline = time.monotonic() + 30
    while True:
        try:
            return libvirt.open("qemu:///system")
        except libvirt.libvirtError:
            if time.monotonic() > deadline:
                with open("/var/log/libvirt/daemon.log") as file:
                    sys.stderr.write(file.read())
                raise
            time.sleep(0.05)


def guests(connection, documents, rounds, ten, settle):
    """One guest at a time, then all at once; the first round of each only warms up."""
    import libvirt

    stopped = threading.Semaphore(0)
    connection.domainEventRegisterAny(
        None,
        libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        lambda _c, _d, event, _detail, _o: event == libvirt.VIR_DOMAIN_EVENT_STOPPED and stopped.release(),
        None,
    )
    threading.Thread(target=loop, args=(libvirt,), daemon=True).start()
    domains = [connection.defineXML(text) for text in documents]
    found = {"start": [], "destroy": [], "ten": []}
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        domains[0].create()
        found["start"].append(time.perf_counter() - begin)
        time.sleep(settle)
        begin = time.perf_counter()
        domains[0].destroy()
        stopped.acquire()
        found["destroy"].append(time.perf_counter() - begin)
    for _ in range(ten + 1):
        begin = time.perf_counter()
        threads = [threading.Thread(target=domain.create) for domain in domains]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found["ten"].append(time.perf_counter() - begin)
        for domain in domains:
            domain.destroy()
            stopped.acquire()
    for domain in domains:
        domain.undefine()
    return {name: seconds[1:] for name, seconds in found.items()}


def down(connection, documents, serials):
    """``libvirt-guests.sh stop``, one guest after the other and all at once."""
    if not os.path.exists(GUESTS):
        sys.exit(f"there is no {GUESTS} here")
    domains = [connection.defineXML(text) for text in documents]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/etc/default"], check=True)
    found = {}
    for name, parallel in (("one by one", 0), ("at once", len(domains))):
        with open("/etc/default/libvirt-guests", "w") as file:
            file.write(f"URIS=qemu:///system\nON_SHUTDOWN=shutdown\nPARALLEL_SHUTDOWN={parallel}\n")
        for domain, serial in zip(domains, serials, strict=True):
            domain.create()
            while not said(serial, b"ready"):
                time.sleep(0.01)
        os.makedirs("/var/lock", exist_ok=True)
        with open("/var/lock/libvirt-guests", "w"):
            pass  # the script stops nothing that it does not believe to have started, nor anything twice
        if os.path.exists("/var/lib/libvirt/libvirt-guests"):
            os.remove("/var/lib/libvirt/libvirt-guests")
        begin = time.perf_counter()
        subprocess.run(["/bin/sh", GUESTS, "stop"], stdout=sys.stderr, check=True)
        found[name] = time.perf_counter() - begin
        left = [domain.name() for domain in domains if domain.isActive()]
        if left:
            sys.exit(f"libvirt-guests left {', '.join(left)} running ({name}, {found[name]:.1f} s)")
    return found


def said(serial, word):
    with open(serial, "rb") as file:
        return word in file.read()


def written(_, document, times):
    """A domain's document from the test driver, which is in the daemon."""
    import libvirt

    domain = libvirt.open("test+unix:///default").defineXML(document)
    domain.XMLDesc(0)
    begin = time.perf_counter()
    for _ in range(times):
        domain.XMLDesc(0)
    return {"written": (time.perf_counter() - begin) / times}


def listed(_, rounds):
    """``virsh list`` as a whole process, with one guest of the daemon's test driver to tell of."""
    found = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        told = subprocess.run(["virsh", "-c", "test+unix:///default", "list"], stdout=subprocess.PIPE, check=True)
        found.append(time.perf_counter() - begin)
    assert b"running" in told.stdout
    return {"listed": found[1:]}


def loop(libvirt):
    while True:
        libvirt.virEventRunDefaultImpl()


WORK = {"guests": guests, "down": down, "written": written, "listed": listed}

if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        begin(json.load(file))
