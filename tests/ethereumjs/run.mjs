// Runs blocks that another EVM ran and compares what came out: `node run.mjs FILE`, one block a
// line as JSON. Prints what was compared; every difference is an error.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { createBlock } from "@ethereumjs/block";
import { createCustomCommon, Mainnet } from "@ethereumjs/common";
import { MerkleStateManager } from "@ethereumjs/statemanager";
import { createTxFromRLP } from "@ethereumjs/tx";
import {
  bytesToHex, createAccount, createAddressFromString, hexToBytes, setLengthLeft, toBytes,
} from "@ethereumjs/util";
import { createVM, runTx } from "@ethereumjs/vm";

// No random proof is valid, so nothing needs the trusted setup.
const kzg = { verifyProof: () => false };

const word = (value) => setLengthLeft(toBytes(BigInt(value)), 32);

async function prestate(common, pre) {
  const state = new MerkleStateManager({ common });
  for (const [name, { nonce, balance, code, storage }] of Object.entries(pre)) {
    const address = createAddressFromString(name);
    await state.putAccount(address, createAccount({ nonce: BigInt(nonce), balance: BigInt(balance) }));
    if (code !== "0x") await state.putCode(address, hexToBytes(code));
    for (const [key, value] of Object.entries(storage)) {
      await state.putStorage(address, word(key), toBytes(BigInt(value)));
    }
  }
  await state.flush();
  return state;
}

function header(block) {
  const cancun = ["cancun", "prague", "osaka"].includes(block.fork);
  const zero = "0x" + "00".repeat(32);
  return {
    number: BigInt(block.number),
    timestamp: BigInt(block.time),
    coinbase: block.beneficiary,
    gasLimit: BigInt(block.gasLimit),
    baseFeePerGas: BigInt(block.baseFee),
    mixHash: block.mixHash,
    ...(cancun && { excessBlobGas: 0n, blobGasUsed: 0n, parentBeaconBlockRoot: zero }),
  };
}

/** What a transaction came to, in the words of the file; null if it is refused. */
async function outcome(vm, block, raw, common) {
  let ran;
  try {
    const tx = createTxFromRLP(hexToBytes(raw), { common });
    ran = await runTx(vm, { tx, block });
  } catch (error) {
    return { outcome: null, why: error };
  }
  const logs = (ran.execResult.logs ?? []).map(([address, topics, data]) => ({
    address: bytesToHex(address),
    topics: topics.map((topic) => bytesToHex(topic)),
    data: bytesToHex(data),
  }));
  const status = ran.execResult.exceptionError === undefined;
  const gasUsed = Number(ran.totalGasSpent);
  return { outcome: { status, gasUsed, logs: status ? logs : [] }, why: ran.execResult.exceptionError };
}

const describe = (why) => why?.message ?? why?.error ?? "no error";

async function check(block) {
  const common = createCustomCommon({ chainId: block.chainId }, Mainnet, {
    hardfork: block.fork,
    customCrypto: { kzg },
  });
  const state = await prestate(common, block.pre);
  const root = bytesToHex(await state.getStateRoot());
  if (root !== block.preRoot) throw new Error(`the state before has root ${root}`);
  const hashes = block.hashes.map(hexToBytes);
  const blockchain = {
    getBlock: async (number) => ({ hash: () => hashes[Number(number)] }),
    shallowCopy() { return this; },
  };
  const vm = await createVM({ common, stateManager: state, blockchain });
  const opts = { common, setHardfork: false, skipConsensusFormatValidation: true };
  const here = createBlock({ header: header(block) }, opts);
  for (const [at, { raw, want }] of block.txs.entries()) {
    const { outcome: have, why } = await outcome(vm, here, raw, common);
    if (!isDeepStrictEqual(have, want)) {
      const [left, right] = [JSON.stringify(have), JSON.stringify(want)];
      throw new Error(`transaction ${at} ${raw}\n  here  ${left}\n  there ${right}\n  ${describe(why)}`);
    }
  }
  const after = bytesToHex(await state.getStateRoot());
  if (after !== block.root) throw new Error(`the state after has root ${after}, not ${block.root}`);
  return block.txs.length;
}

const lines = readFileSync(process.argv[2], "utf8").trim().split("\n");
let txs = 0;
let bad = 0;
for (const line of lines) {
  const block = JSON.parse(line);
  try {
    txs += await check(block);
  } catch (error) {
    bad += 1;
    console.error(`${block.name}: ${error.message}`);
    if (process.env.CAUSEWAY_TRACE) console.error(error.stack);
  }
}
console.log(`${lines.length} blocks, ${txs} transactions, ${bad} blocks differ`);
process.exit(bad === 0 ? 0 : 1);
