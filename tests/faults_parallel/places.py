"""Where there is little room, or none, and where the program has forked."""

from faults_parallel.lab import situation

LARGE = """
    import numpy as np

    def total(array):
        return float(array.sum())

    def ones(number):
        return np.ones(2_500_000)

    if __name__ == "__main__":
        array = np.ones(12_500_000)
        with errors():
            show("sums", Parallel(n_jobs=2)(delayed(total)(array) for _ in range(4)) == [12_500_000.0] * 4)
        with errors():
            arrays = Parallel(n_jobs=2)(delayed(ones)(number) for number in range(4))
            show("arrays", [len(array) for array in arrays] == [2_500_000] * 4)
"""
FINE = "sums True; arrays True"
SMALL_SHM = "mount -t tmpfs -o size=1M none /dev/shm"
NO_SHM = """
    mkdir -p "$1/dev"
    mount -t tmpfs none "$1/dev"
    for each in null zero full random urandom tty; do
        touch "$1/dev/$each"
        mount --bind "/dev/$each" "$1/dev/$each"
    done
    ln -s /proc/self/fd "$1/dev/fd"
    mount --move "$1/dev" /dev
    test ! -e /dev/shm
"""
NO_TMP = """
    for each in "$1/tmp" /tmp /var/tmp; do
        mount --bind "$each" "$each"
        mount -o remount,ro,bind "$each"
    done
"""


@situation(FINE)
def small_shared_memory(lab):
    """`/dev/shm` has 1 MB; arrays of 100 MB to tasks, of 20 MB back."""
    return lab.run(LARGE, before=lab.mounts(SMALL_SHM))


@situation(FINE)
def no_shared_memory(lab):
    """There is no `/dev/shm`."""
    return lab.run(LARGE, before=lab.mounts(NO_SHM))


@situation(FINE)
def read_only_tmpdir(lab):
    """`TMPDIR`, `/tmp` and `/var/tmp` are read-only."""
    return lab.run(LARGE, before=lab.mounts(NO_TMP))


@situation(FINE)
def neither(lab):
    """`/dev/shm` has 1 MB, and `TMPDIR` is read-only."""
    return lab.run(LARGE, before=lab.mounts(SMALL_SHM + "\n" + NO_TMP))


@situation(r"\[0, 1, 2, 3\]; child \[0, 1, 2, 3\]; parent \[0, 1, 2, 3\]; child's status 0")
def forked(lab):
    """The program forks between calls; both go on."""
    return lab.run(
        """
        def call():
            return Parallel(n_jobs=2)(delayed(abs)(-number) for number in range(4))

        if __name__ == "__main__":
            show(call())
            child = os.fork()
            if child == 0:
                with errors():
                    show("child", call())
                sys.exit(0)
            status = os.waitpid(child, 0)[1]
            with errors():
                show("parent", call())
            show("child's status", status)
        """,
        timeout=20,
    )


@situation(r"\[0, 1, 2, 3\]; parent \[0, 1, 2, 3\]")
def forked_and_left(lab):
    """The program forks between calls, and the child ends at once (`os._exit`)."""
    return lab.run(
        """
        def call():
            return Parallel(n_jobs=2)(delayed(abs)(-number) for number in range(4))

        if __name__ == "__main__":
            show(call())
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            with errors():
                show("parent", call())
        """,
        timeout=20,
    )


@situation(r"2 results of 2\.5 GB", by_hand=True)
def results_over_2_gib(lab):
    """Results of 2.5 GB: arrays, and bytes."""
    return lab.run(
        """
        import numpy as np

        def large(kind):
            return np.ones(312_500_000) if kind == "array" else bytes(2_500_000_000)

        if __name__ == "__main__":
            with errors():
                array, data = Parallel(n_jobs=2)(delayed(large)(kind) for kind in ("array", "bytes"))
                assert array[-1] == 1 and len(array) == 312_500_000
                assert len(data) == 2_500_000_000 and data[-1] == 0
                show("2 results of 2.5 GB")
        """,
        timeout=120,
    )


@situation(r"argument of 2\.5 GB", by_hand=True)
def argument_over_2_gib(lab):
    """An argument of 2.5 GB, of bytes."""
    return lab.run(
        """
        if __name__ == "__main__":
            data = bytes(2_500_000_000)
            with errors():
                assert Parallel(n_jobs=2)(delayed(len)(data) for _ in range(2)) == [len(data)] * 2
                show("argument of 2.5 GB")
        """,
        timeout=120,
    )


@situation(r"the sum is right", by_hand=True)
def million(lab):
    """1,000,000 tasks."""
    return lab.run(
        """
        def double(number):
            return number * 2

        if __name__ == "__main__":
            with errors():
                total = sum(Parallel(n_jobs=2)(delayed(double)(number) for number in range(1_000_000)))
                show("the sum is right" if total == 999_999_000_000 else "the sum is wrong")
        """,
        timeout=120,
    )
