"""What stands below kit: the locked packages, their licences, their known vulnerabilities."""
