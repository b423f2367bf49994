"""One file per step, named revision_what; `down_revision` names the step before it."""
