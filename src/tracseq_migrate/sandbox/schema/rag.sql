-- The question-answering service's own tables. Answering a question writes to none of them.

CREATE TABLE rag_documents (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    filename    varchar(255) NOT NULL,
    checksum    varchar(64) NOT NULL UNIQUE,
    mime_type   varchar(100),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rag_passages (
    id           bigserial PRIMARY KEY,
    document_id  uuid NOT NULL REFERENCES rag_documents (id) ON DELETE CASCADE,
    ordinal      integer NOT NULL CHECK (ordinal >= 0),
    body         text NOT NULL,
    UNIQUE (document_id, ordinal)
);
