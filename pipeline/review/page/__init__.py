"""The review page: a server on this machine, and what a browser needs to show queues and send decisions."""
