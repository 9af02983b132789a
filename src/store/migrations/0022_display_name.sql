-- What people call the owner of an account; the account's name stays what is written down.
ALTER TABLE account ADD COLUMN display_name TEXT;
