// Reads the feed with @odata/client: node client.mjs <service root>. Prints what was found as JSON.
import { createRequire } from "module";

const { OData } = createRequire(process.cwd() + "/")("@odata/client");
const serviceEndpoint = process.argv[2];
const client = OData.New4({ serviceEndpoint, metadataUri: `${serviceEndpoint}$metadata`, fetchProxy: async (url, init) => {
  const answer = await fetch(url, init);
  return { content: await answer.json(), response: answer };
} });
const orders = client.getEntitySet("fact_orders");
const filter = client.newFilter().property("quantity").gt(3).property("status").eq("paid");
const params = client.newParam().filter(filter).orderby("total", "desc").top(5).select("order_id");
const found = await orders.query(params);
const one = await orders.retrieve("O0001");
const pages = [];
for (let skip = 0; skip < 240; skip += 60) {
  pages.push(...(await orders.query(client.newParam().top(60).skip(skip).orderby("order_id"))));
}
console.log(JSON.stringify({ found: found.map((row) => row.order_id), one: one.total, count: await orders.count(filter), rows: pages.length }));
