-- What change capture needs in system A's database, run once by the owner of the table: psql -v password=… -f system-a-cdc.sql
-- The publication is made here, so that the user of the connector owns nothing and changes nothing.
CREATE ROLE debezium LOGIN REPLICATION PASSWORD :'password';
GRANT SELECT ON public.customers_a TO debezium;
CREATE PUBLICATION system_a_publication FOR TABLE public.customers_a WITH (publish = 'insert, update, delete');
