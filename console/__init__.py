"""One web application for staff, analysts and administrators."""
