"""Operations on a whole store: doctor, garbage collection, export and import."""
