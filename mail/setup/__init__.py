"""How a mail program finds the servers of a body by an address alone: DNS records, and documents over HTTPS."""
