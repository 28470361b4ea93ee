// What a user of the official JavaScript SDK writes: its generated APIs at an address of their own, and its stream.
"use strict";
const assert = require("node:assert");
const { Alpaca, trading, marketData } = require(process.env.SDK);

async function main(step, buy, sell, start, end) {
  const basePath = process.env.EXCHANGE_URL;
  const keys = { keyId: "key", secret: "secret", basePath };
  const trade = new trading.Configuration(keys);
  const orders = new trading.OrdersApi(trade);
  const positions = new trading.PositionsApi(trade);
  if (step === "evening") {
    const held = Object.fromEntries((await positions.getAllOpenPositions()).map((each) => [each.symbol, String(each.qty)]));
    assert.deepStrictEqual(held, { [buy]: "7", [sell]: "-3" });
    await positions.deleteOpenPosition({ symbolOrAssetId: sell });
    return;
  }
  const stocks = new marketData.StockApi(new marketData.Configuration(keys));
  const account = await new trading.AccountsApi(trade).getAccount();
  assert.strictEqual(account.tradingBlocked, false);
  const clocks = await new trading.ClockApi(trade).clock({ markets: "NYSE" });
  assert.strictEqual(clocks.clocks[0].phase, "pre");
  const days = await new trading.CalendarApi(trade).calendar({ market: "XNYS" });
  assert.ok(days.calendar.length >= 3);
  const snapshot = await stocks.stockSnapshotSingle({ symbol: buy });
  const latest = await stocks.stockLatestTradeSingle({ symbol: buy });
  assert.strictEqual(Number(snapshot.latestTrade.p), Number(latest.trade.p));
  assert.ok((await stocks.stockLatestQuoteSingle({ symbol: buy })).quote && (await stocks.stockLatestBarSingle({ symbol: buy })).bar);
  assert.deepStrictEqual(Object.keys(await stocks.stockSnapshots({ symbols: `${buy},${sell}` })).sort(), [buy, sell].sort());
  for (const timeframe of ["1Hour", "1Day", "1Week", "1Month"]) {
    const from = new Date(`${start.slice(0, 8)}01T05:00:00Z`);
    const found = await stocks.stockBarSingle({ symbol: buy, timeframe, start: from, end: new Date(`${end}T23:00:00Z`) });
    assert.ok(found.bars.length > 0, timeframe);
  }
  const updates = new Alpaca({ keyId: "key", secret: "secret", paper: true }).trading.stream({ url: `${basePath.replace("http", "ws")}/stream` });
  const seen = [];
  updates.onTradeUpdate((update) => seen.push([update.event, update.order.clientOrderId]));
  updates.onConnect(() => updates.subscribeTradeUpdates());
  updates.connect();
  assert.ok(await updates.waitForAuthentication(10000), "the stream takes the keys");
  await new Promise((wait) => setTimeout(wait, 500));
  const post = (order) => orders.postOrder({ postOrderRequest: order });
  await post({ symbol: buy, qty: "7", side: "buy", type: "market", timeInForce: "opg", clientOrderId: "third-buy" });
  await post({ symbol: sell, qty: "3", side: "sell", type: "market", timeInForce: "opg", clientOrderId: "third-short" });
  await post({ symbol: buy, qty: "1", side: "buy", type: "limit", limitPrice: "1.00", timeInForce: "day", clientOrderId: "third-far" });
  const far = await orders.getOrderByClientOrderId({ clientOrderId: "third-far" });
  await orders.deleteOrderByOrderID({ orderId: far.id });
  for (let waited = 0; seen.length < 4 && waited < 100; waited += 1) await new Promise((wait) => setTimeout(wait, 50));
  assert.deepStrictEqual(seen.map(([event, id]) => `${event} ${id}`),
    ["accepted third-buy", "accepted third-short", "accepted third-far", "canceled third-far"]);
  updates.disconnect();
}

main(...process.argv.slice(2)).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
