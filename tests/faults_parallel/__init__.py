"""What can go wrong in a parallel call, each as a small program, and what its user is to see of it.

`python tests/faults_parallel` runs them with joblib and with retain, and prints what came of each.
"""
