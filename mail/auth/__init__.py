"""Who a message from outside really comes from: SPF, DKIM, DMARC and ARC, gathered into one value."""
