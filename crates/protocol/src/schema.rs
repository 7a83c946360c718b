//! JSON Schema of the wire. Stub.
