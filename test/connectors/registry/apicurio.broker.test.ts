import { describeKafka } from '../../support/kafka.ts';
import { schemaRegistryContract } from '../../contracts/schema-registry-contract.ts';
import { startApicurio } from '../../support/apicurio.ts';

// Needs no broker, but Java and Maven as one does.
describeKafka('a registry of others', () => {
  schemaRegistryContract('Apicurio', startApicurio);
});
