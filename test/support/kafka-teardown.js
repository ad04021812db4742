export default async function teardown() {
  await globalThis.rivuletTestKafka?.stop();
}
