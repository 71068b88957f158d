"""Operations on a whole store: doctor, audit, garbage collection, export and import."""
