"""Situations in which a memory is easily wrong, each as small programs, and what is right in each.

`python tests/truth` runs them against joblib and against retain, and prints what each made of them.
"""
