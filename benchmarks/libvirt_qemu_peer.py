"""The peer of ``bench_qemu``: a libvirtd of its own, driven through libvirt-python. Run by the system's Python.

It runs in a mount namespace of its own (``unshare -m``), with empty folders over libvirt's, so it meets no other
libvirtd and leaves nothing. Prints one JSON object: seconds of each round of start, destroy and ten at once.
"""

import json
import os
import subprocess
import sys
import threading
import time

COVERED = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
LIBVIRTD = 'unix_sock_group = "root"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
QEMU = (
    'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nsecurity_driver = "none"\nnamespaces = []\n'
    'cgroup_controllers = []\nstdio_handler = "file"\nremember_owner = 0\n'
)


def main(documents, rounds):
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
        measure(documents, rounds)
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


def measure(documents, rounds):
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = libvirt.open("qemu:///system")
            break
        except libvirt.libvirtError:
            if time.monotonic() > deadline:
                with open("/var/log/libvirt/daemon.log") as file:
                    sys.stderr.write(file.read())
                raise
            time.sleep(0.05)
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
    for _ in range(rounds):
        begin = time.perf_counter()
        domains[0].create()
        found["start"].append(time.perf_counter() - begin)
        time.sleep(0.3)
        begin = time.perf_counter()
        domains[0].destroy()
        stopped.acquire()
        found["destroy"].append(time.perf_counter() - begin)
    for _ in range(max(rounds // 3, 1)):
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
    print(json.dumps(found))


def loop(libvirt):
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file), int(sys.argv[2]))
