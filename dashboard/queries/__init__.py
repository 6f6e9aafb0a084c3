"""From stored documents to the plain records that figures and pages show."""
