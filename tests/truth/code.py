"""Edits of a function, and where it stands."""

from truth.lab import situation

ONE = """
    @memory.cache
    def function(x):
        print("computing")
        return x + 1
    show(function, 2)
"""
TWO = ONE.replace("x + 1", "x + 2")


def edited(lab, *texts):
    for text in texts:
        lab.run(text)


@situation(right="3* 4* 3", joblib="3* 4* 3*", threads="#1710, #1533, PR #129")
def edit_and_revert(lab):
    """An edit, and the edit taken back."""
    edited(lab, ONE, TWO, ONE)


@situation(right="3* 3", joblib="3* 3*", threads="#1710")
def comment(lab):
    """A comment is added."""
    edited(lab, ONE, ONE.replace('print("computing")', 'print("computing")  # which takes long'))


@situation(right="3* 3", joblib="3* 3*", threads="#1533")
def docstring(lab):
    """A docstring is added."""
    edited(lab, ONE, ONE.replace("        print", '        """Add one."""\n        print'))


@situation(right="3* 3", joblib="3* 3*", threads="#1710")
def formatting(lab):
    """A formatter has been over the file."""
    edited(lab, ONE, ONE.replace("return x + 1", "return (\n            x + 1\n        )"))


@situation(right="3* 3", joblib="3* 3*")
def decorator_spelled_otherwise(lab):
    """The decorator is given an option that does not touch results."""
    edited(lab, ONE, ONE.replace("@memory.cache", "@memory.cache(verbose=0)"))


@situation(right="3* 4* 3 4", joblib="3* 4* 3* 4*", threads="#1694, #1498")
def versions_side_by_side(lab):
    """Two versions of a program run in turn."""
    edited(lab, ONE, TWO, ONE, TWO)


@situation(right="3* 4* 3", joblib="3* 4* 4", threads="#1694")
def versions_at_once(lab):
    """A newer version of the program runs while the older one goes on."""
    lab.run(
        ONE
        + """
    from lab import meanwhile
    meanwhile()
    show(function, 2)
    """,
        meanwhile=TWO,
    )


@situation(right="3* 4*", joblib="3* 3", threads="PR #131")
def edited_while_it_runs(lab):
    """The file is edited before a program that has loaded it makes its first call."""
    lab.run("""
        def function(x):
            print("computing")
            return x + 1
        from pathlib import Path
        path = Path(__file__)
        path.write_text(path.read_text().replace("x + 1", "x + 2"))
        show(memory.cache(function), 2)
    """)
    lab.run("""
        def function(x):
            print("computing")
            return x + 2
        from pathlib import Path
        path = Path(__file__)
        path.write_text(path.read_text().replace("x + 1", "x + 2"))
        show(memory.cache(function), 2)
    """)


CELL = """
    def cell(source, namespace={{"memory": memory, "show": show, "__name__": "__main__"}}):
        import linecache, textwrap
        source = textwrap.dedent(source)
        name = f"/tmp/ipykernel_{process}/{{abs(hash(source)) % 10**9}}.py"
        linecache.cache[name] = len(source), None, source.splitlines(True), name
        exec(compile(source, name, "exec"), namespace)
"""


@situation(right="3* 4* 3", joblib="3* 4* 3", threads="PR #1430, #1570")
def notebook_cell_again(lab):
    """A cell of a notebook is edited, run, and edited back."""
    lab.run(
        CELL.format(process=1)
        + '''
    one = """
    @memory.cache
    def function(x):
        print('computing')
        return x + 1
    """
    for source in (one, one.replace("1", "2"), one):
        cell(source)
        cell("show(function, 2)")
    '''
    )


@situation(right="3* 3", joblib="3* 3*", threads="#1710")
def notebook_comment(lab):
    """A comment is added in a cell of a notebook."""
    lab.run(
        CELL.format(process=1)
        + '''
    one = """
    @memory.cache
    def function(x):
        print('computing')
        return x + 1
    """
    for source in (one, one.replace("return", "# Comes now:\\n    return")):
        cell(source)
        cell("show(function, 2)")
    '''
    )


@situation(right="3* 3", joblib="3* 3*", threads="#1035")
def notebook_restarted(lab):
    """The kernel of a notebook is restarted, and a line stands above the function now."""
    for process, above in ((11, ""), (12, "import math\\n")):
        lab.run(
            CELL.format(process=process)
            + f'''
    one = """{above}
    @memory.cache
    def function(x):
        print('computing')
        return x + 1
    """
    cell(one)
    cell("show(function, 2)")
    ''',
            seed=1 + process % 2,
        )


@situation(right="3* 3", joblib="3* 3*")
def source_in_a_string(lab):
    """A function of a program in a string, with a set among its constants, in the next run."""
    for seed in (1, 2):
        lab.run(
            """
            namespace = {}
            exec('''def function(x):
                print("computing")
                return x + (x not in {"a", "b", "c", "d", "e"})''', namespace)
            show(memory.cache(namespace["function"]), 2)
        """,
            seed=seed,
        )


@situation(right="3* 3", joblib="3* 3*")
def script_in_another_folder(lab):
    """The folder of a script is moved."""
    lab.run(ONE, path="before/script.py")
    lab.run(ONE, path="after/script.py")


@situation(right="3* 4* 3 4", joblib="3* 4* 3* 4*")
def paths_that_look_alike(lab):
    """Two scripts whose paths differ in a dash and a slash."""
    for _ in range(2):
        lab.run(ONE, path="a-b/main.py")
        lab.run(TWO, path="a/b-main.py")


@situation(right="3* 4*", joblib="3* 3")
def two_projects(lab):
    """Two projects with a module of the same name and one memory."""
    for project, n in (("one", 1), ("two", 2)):
        lab.write(
            **{
                f"{project}__model": """
            from tools import offset
            def function(x):
                print("computing")
                return x + offset()
        """,
                f"{project}__tools": f"""
            def offset():
                return {n}
        """,
            }
        )
        lab.run(f"""
            import sys
            sys.path.insert(0, "{project}")
            from model import function
            show(memory.cache(function), 2)
        """)


@situation(right="3* 3", joblib="ended-by-OSError", threads="#482, #1496")
def long_name(lab):
    """A name of 300 letters."""
    lab.run(f"""
        def {"f" * 300}(x):
            print("computing")
            return x + 1
        show(memory.cache({"f" * 300}), 2)
        show(memory.cache({"f" * 300}), 2)
    """)


@situation(right="A* B* A B", joblib="A* B* A B", threads="#1096")
def two_notebooks(lab):
    """Two notebooks with a function of the same name, whose cells run in turn."""
    lab.run(
        CELL.format(process=1)
        + '''
    one, two = ({"memory": memory, "show": show, "__name__": "__main__"} for _ in range(2))
    source = """
    @memory.cache
    def function(x):
        print('computing')
        return name
    """
    for _ in range(2):
        for notebook, name in ((one, "A"), (two, "B")):
            cell(source.replace("name", repr(name)) if "function" not in notebook else "", notebook)
            cell("show(function, 2)", notebook)
    '''
    )
