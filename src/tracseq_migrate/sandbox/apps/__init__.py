"""The applications of the embedded TracSeq: the monolith, and the services that replace it.

Two implementations of the same resources, as two teams would have written them: the same field names, two shapes of error,
of time stamps and of paging. The monolith serves ``/api/...``; a service serves the same without ``/api``, because the
gateway takes it away. What follows is the contract that a client may rely on, whoever answers.

===================== =============== ======================================================== ====================
resource              business key    fields that both sides read and write                    methods
===================== =============== ======================================================== ====================
auth/users            email           first_name last_name role status department position     GET POST PATCH DELETE
                                      lab_affiliation phone email_verified; ``password`` is
                                      written and never read
samples               barcode         name status location metadata                            GET POST PATCH DELETE
templates             name            description metadata                                     GET POST PATCH DELETE
storage/locations     name            description temperature_zone capacity current_usage      GET POST PATCH DELETE
                                      container_type location_path is_active
storage/movements     reference       barcode from_location to_location reason moved_by        GET POST
                                      moved_at (both ends are *names* of locations)
sequencing/jobs       name            status                                                   GET POST PATCH DELETE
notifications         subject         body channel recipient priority                          GET POST PATCH DELETE
spreadsheets          filename        name file_type file_size uploaded_by metadata            GET POST PATCH DELETE
===================== =============== ======================================================== ====================

Where they live (monolith | service), by table and by column where the name differs:

- users: ``users`` | ``users``; ``last_login`` | ``last_login_at``.
- samples: ``samples.location`` | ``location_id`` of the newest row in ``sample_storage_locations``, current or not.
- templates: ``templates`` | ``templates``, whose list hides drafts unless ``?status=`` asks for them.
- locations: ``storage_locations`` | ``storage_locations``; ``temperature_zone`` | ``zone_type`` (an enum with other labels),
  ``current_usage`` | ``occupied``; description, container_type, location_path | keys of ``location_metadata``.
- movements: ``storage_movement_history`` | the same name; ``reference`` is in ``notes`` |
  ``movement_metadata->>'reference'``; ``movement_reason`` | ``reason``; ``barcode`` | ``container_barcode``;
  ``moved_at`` | ``movement_time``; ``moved_by`` (text) | ``moved_by`` (uuid), and ``movement_metadata->>'moved_by'`` for a
  name that is no uuid.
- jobs: ``sequencing_jobs.name`` | ``sequencing_jobs.job_name``; a status has a counterpart only if it is completed or failed.
- notifications: ``notifications.title``, ``message``, ``recipient`` | ``notifications.subject``, ``body``, ``recipient_address``.
- spreadsheets: ``spreadsheet_datasets`` | ``spreadsheet_versions``; ``file_size`` | ``file_size_bytes``; ``uploaded_by`` |
  ``created_by``.

A list answers ``{"items": [...], "total": N, ...}`` and takes ``limit`` (at most 500), ``offset`` and any plain field as
an exact filter (``?email=``, ``?barcode=``). POST answers 201 and PATCH 200, both with the whole row; DELETE 204. A value
that the table refuses is 422, a business key that is taken is 409, a database that cannot be asked is 503. Whatever was
answered with 2xx is committed. Fields that a side does not know are ignored, as both real implementations do.

Besides: ``POST auth/login``, ``GET auth/me``, ``GET dashboard``, ``GET reports``, ``GET rag``, ``POST rag/query``, and on
each process ``/health`` and ``/metrics``. The monolith also serves the users under ``/api/users``, which no flag ever
routes away, and ``/auth/login``.
"""
