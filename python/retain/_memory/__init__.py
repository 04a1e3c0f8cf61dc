"""`Memory`: results that outlive the process."""
