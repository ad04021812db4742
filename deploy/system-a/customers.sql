-- Stands for system A where there is none: the columns that change capture reads, and a few customers.
CREATE TABLE public.customers_a (
  id bigserial PRIMARY KEY,
  email text,
  name text NOT NULL,
  address text,
  contract_start date,
  contract_type text,
  last_updated timestamptz NOT NULL DEFAULT now()
);

INSERT INTO public.customers_a (email, name, address, contract_start, contract_type) VALUES
  ('ann@example.com', 'Ann', 'Elm Street 1', '2024-02-29', 'gold'),
  ('bob@example.com', 'Bob', 'Oak Street 2', '2025-01-01', 'basic');
