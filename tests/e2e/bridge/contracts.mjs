// The bridge's contracts on two anvils: viem's op-stack actions as they are, every refusal by name, and attacks that emptied
// other bridges. What the chain does with messages is done by hand here: flow.mjs has a real one.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it, mock } from 'node:test'
import {
  concat, encodeDeployData, encodeFunctionData, keccak256, numberToHex, pad, parseEther, parseEventLogs, parseSignature, toHex,
  zeroAddress, zeroHash,
} from 'viem'
import { extractTransactionDepositedLogs, getL2TransactionHash, getWithdrawals, opaqueDataToDepositData } from 'viem/op-stack'
import { MODULES } from '../lib.mjs'
import {
  BRIDGED_TOKEN, GENESIS, MAX_GAS, PARENTS, accounts, deploy, errorIn, lacking, outputRoot, read, refused, send, simulate, startChain,
  startParent, stop, testContracts,
} from './parts.mjs'

const TIMEOUT = 180_000
const PERIOD = 3600n
const FALLBACK = 86_400n
const INTERVAL = 2n
const BLOCK_TIME = 5n
const PAUSE = 14n * 86_400n
const A_YEAR = 365n * 86_400n

const [owner, poster, proposer, guardian, user, other, , , delegating] = accounts
const {
  L2ToL1MessagePasser: passer, L2CrossDomainMessenger: chainMessenger, L2StandardBridge: chainBridge, BridgedTokenFactory: factory,
} = GENESIS
const ROOT = `0x${'11'.repeat(32)}`
const NOBODY = '0x000000000000000000000000000000000000dEaD'
/** OP's name for coins in place of a token. */
const COINS = '0xDeadDeAddeAddEAddeadDEaDDEAdDeaDDeAD0000'
const LONGEST_MESSAGE = 65_536
const VERSION = 1n << 240n
/** What a callee spends until it looks at what it has. */
const GAS_SLACK = 1500n
const GAS_PRICE = 10n ** 10n

const aliasOf = (address) => numberToHex(BigInt.asUintN(160, BigInt(address) + 0x1111000000000000000000000000000000001111n), { size: 20 })
const input = ({ abi }, functionName, args = []) => encodeFunctionData({ abi, functionName, args })
const events = ({ abi }, { logs }, eventName) => parseEventLogs({ abi, logs, eventName })
const only = (list) => {
  assert.equal(list.length, 1)
  return list[0]
}

describe('contracts', { timeout: TIMEOUT }, () => {
  let parent, chain, l1, l2, targetChain
  let config, terms, oracle, portal, messenger, bridge
  let odd, gas, gasThere, reentrant, receiver, receiverThere
  let first, firstProof

  const now = async () => (await l1.getBlock()).timestamp
  /** viem compares with the clock on the wall: let it be the parent chain's. */
  let clock = 0
  async function travel(seconds) {
    await l1.increaseTime({ seconds: Number(seconds) })
    await l1.mine({ blocks: 1 })
    clock = Number(await now()) * 1000
  }

  before(async () => {
    [parent, chain] = await Promise.all([startParent(), startChain()])
    ;[l1, l2] = [parent.client, chain.client]
    config = await deploy(l1, PARENTS.SystemConfig, [owner.address, [poster.address], [poster.address], [proposer.address]])
    terms = {
      systemConfig: config.address, guardian: guardian.address, submissionInterval: INTERVAL, blockTime: BLOCK_TIME,
      startingBlockNumber: 0n, startingTimestamp: await now() - 100n, finalizationPeriod: PERIOD, fallbackDelay: FALLBACK,
    }
    oracle = await deploy(l1, PARENTS.OutputOracle, [terms])
    portal = await deploy(l1, PARENTS.Portal, [MAX_GAS, oracle.address, true])
    messenger = await deploy(l1, PARENTS.CrossDomainMessenger, [portal.address])
    bridge = await deploy(l1, PARENTS.StandardBridge, [messenger.address])
    for (const [contract, counterpart] of [[chainMessenger, messenger], [chainBridge, bridge]]) {
      await l2.setStorageAt({ address: contract.address, index: 0, value: pad(counterpart.address, { size: 32 }) })
    }
    const at = ({ address }) => ({ [l1.chain.id]: { address } })
    const contracts = { ...l2.chain.contracts, portal: at(portal), l2OutputOracle: at(oracle), l1StandardBridge: at(bridge) }
    targetChain = { ...l2.chain, contracts }
    const { Gas, Reentrant, Receiver, ...tokens } = testContracts()
    odd = tokens
    gas = await deploy(l1, Gas)
    gasThere = await deploy(l2, Gas)
    reentrant = await deploy(l1, Reentrant)
    receiver = await deploy(l1, Receiver)
    receiverThere = await deploy(l2, Receiver)
    clock = Number(await now()) * 1000
    mock.method(Date, 'now', () => clock)
  })
  after(async () => {
    mock.restoreAll()
    await Promise.all([parent, chain].filter(Boolean).map(stop))
  })

  /** Runs on the chain what the portal's events say, without the fees. */
  async function derive(receipt) {
    const receipts = []
    for (const { args: { from, to, opaqueData } } of extractTransactionDepositedLogs(receipt)) {
      const { mint = 0n, value, gas, data, isCreation } = opaqueDataToDepositData(opaqueData)
      await l2.impersonateAccount({ address: from })
      const pay = async (amount) => l2.setBalance({ address: from, value: await l2.getBalance({ address: from }) + amount })
      await pay(mint + gas * GAS_PRICE)
      const hash = await l2.sendTransaction({ account: from, to: isCreation ? undefined : to, value, gas, data, gasPrice: GAS_PRICE })
      const done = await l2.waitForTransactionReceipt({ hash })
      await pay((done.gasUsed - gas) * GAS_PRICE)
      assert.equal(done.status, 'success', 'the message failed on the chain')
      receipts.push(done)
    }
    return only(receipts)
  }

  const deposit = (receipt) => {
    const { args } = only(extractTransactionDepositedLogs(receipt))
    return { ...opaqueDataToDepositData(args.opaqueData), from: args.from }
  }

  const partsOf = ({ stateRoot, hash }, storageHash) =>
    ({ version: zeroHash, stateRoot, messagePasserStorageRoot: storageHash, latestBlockhash: hash })

  /** Says what the chain's state is. */
  async function propose() {
    const least = await read(l1, oracle, 'nextBlockNumber')
    const head = await l2.getBlockNumber()
    if (head < least) await l2.mine({ blocks: Number(least - head) })
    const number = head < least ? least : head
    const block = await l2.getBlock({ blockNumber: number })
    const { storageHash } = await l2.getProof({ address: passer.address, storageKeys: [], blockNumber: number })
    const root = outputRoot(partsOf(block, storageHash))
    await send(l1, oracle, 'proposeL2Output', [root, number, zeroHash, 0n], { account: proposer })
    return { root, number, index: await read(l1, oracle, 'latestOutputIndex') }
  }

  const receiptOf = async (client, hash) => client.waitForTransactionReceipt({ hash })
  const pay = async (client, account, to, value) => receiptOf(client, await client.sendTransaction({ account, to, value, gas: 300_000n }))
  const initiate = async (request) => receiptOf(l2, await l2.initiateWithdrawal({ account: user, request }))
  const status = (receipt) => l1.getWithdrawalStatus({ receipt, targetChain })
  const withdrawalOf = (receipt) => getWithdrawals(receipt)[0]

  async function proofOf(receipt, withdrawal = withdrawalOf(receipt)) {
    const output = await l1.getL2Output({ l2BlockNumber: receipt.blockNumber, targetChain })
    return l2.buildProveWithdrawal({ output, withdrawal })
  }

  async function prove(receipt) {
    const proof = await proofOf(receipt)
    const done = await receiptOf(l1, await l1.proveWithdrawal({ account: other, ...proof, targetChain }))
    assert.equal(done.status, 'success')
    return proof
  }

  async function finalize(receipt, options = {}) {
    const request = { account: other, withdrawal: withdrawalOf(receipt), targetChain, ...options }
    const done = await receiptOf(l1, await l1.finalizeWithdrawal(request))
    assert.equal(done.status, 'success')
    return done
  }

  /** From the chain's side to the day on which it may be called. */
  async function ripen(...receipts) {
    await propose()
    for (const receipt of receipts) await prove(receipt)
    await travel(PERIOD + 11n)
  }

  const wasCalled = (receipt) => only(events(portal, receipt, 'WithdrawalFinalized')).args.success
  const tryProve = (proof, changes = {}) => {
    const { withdrawal, l2OutputIndex, outputRootProof, withdrawalProof } = { ...proof, ...changes }
    return simulate(l1, portal, 'proveWithdrawalTransaction', [withdrawal, l2OutputIndex, outputRootProof, withdrawalProof])
  }
  const tryFinalize = (withdrawal, options) => simulate(l1, portal, 'finalizeWithdrawalTransaction', [withdrawal], options)
  const tryPropose = (root, number, { hash = zeroHash, at = 0n, account = proposer } = {}) =>
    simulate(l1, oracle, 'proposeL2Output', [root, number, hash, at], { account })

  /** Least gas with which finalizing goes through. */
  async function leastGas(withdrawal) {
    const data = input(portal, 'finalizeWithdrawalTransaction', [withdrawal])
    let [low, high] = [21_000n, 16_700_000n]
    while (high - low > 200n) {
      const middle = (low + high) / 2n
      const went = await l1.call({ account: other, to: portal.address, data, gas: middle }).then(() => true, () => false)
      if (went) high = middle
      else low = middle
    }
    return high
  }

  async function undone(client, action) {
    const id = await client.snapshot()
    try {
      await action()
    } finally {
      await client.revert({ id })
    }
  }

  describe('deposits', () => {
    it('coins come with a message, alone, or as a gift', async () => {
      const mint = parseEther('50')
      const request = await l2.buildDepositTransaction({ account: user, mint, to: user.address })
      const receipt = await receiptOf(l1, await l1.depositTransaction({ ...request, account: user, targetChain }))
      const sent = deposit(receipt)
      assert.deepEqual([sent.mint, sent.value, sent.from], [mint, mint, user.address])
      assert.match(getL2TransactionHash({ log: extractTransactionDepositedLogs(receipt)[0] }), /^0x[0-9a-f]{64}$/)
      const had = await l2.getBalance({ address: user.address })
      await derive(receipt)
      assert.equal(await l2.getBalance({ address: user.address }), had + mint)

      const alone = deposit(await pay(l1, user, portal.address, 5n))
      assert.deepEqual([alone.mint, alone.value, alone.gas], [5n, 5n, 100_000n])
      assert.deepEqual((await send(l1, portal, 'donateETH', [], { value: 7n })).logs, [])
      assert.equal(await l1.getBalance({ address: portal.address }), mint + 12n)
    })

    it('a value without coins mints nothing', async () => {
      const message = [user.address, 9n, 100_000n, false, '0x']
      const { mint = 0n, value } = deposit(await send(l1, portal, 'depositTransaction', message, { account: user }))
      assert.deepEqual([mint, value], [0n, 9n])
    })
  })

  describe('outputs', () => {
    it('before there is one, a withdrawal waits', async () => {
      first = await initiate({ to: other.address, value: parseEther('1'), gas: 21_000n })
      assert.equal(await status(first), 'waiting-to-prove')
      const { seconds, interval } = await l1.getTimeToProve({ receipt: first, targetChain })
      assert.ok(seconds > 0)
      assert.equal(interval, Number(INTERVAL * BLOCK_TIME))
      await refused(l1.getL2Output({ l2BlockNumber: first.blockNumber, targetChain }), 'Error')
      await refused(tryFinalize(withdrawalOf(first)), 'NotProven')
    })

    it('a root of zero is nobody\'s, and proves nothing (Nomad, August 2022)', async () => {
      assert.equal((await read(l1, oracle, 'getL2Output', [0n])).outputRoot, zeroHash)
      assert.equal(await read(l1, portal, 'isOutputFinalized', [0n]), false)
      const outputRootProof = { version: zeroHash, stateRoot: zeroHash, messagePasserStorageRoot: zeroHash, latestBlockhash: zeroHash }
      const proof = { withdrawal: withdrawalOf(first), l2OutputIndex: 0n, outputRootProof, withdrawalProof: [] }
      await refused(tryProve(proof), 'OutputMissing')
      await refused(tryPropose(zeroHash, INTERVAL), 'RootZero')
    })

    it('come from proposers, in order, on the branch that they were made on', async () => {
      assert.equal(await read(l1, oracle, 'proposer'), proposer.address)
      assert.equal(await read(l1, oracle, 'challenger'), guardian.address)
      await refused(tryPropose(ROOT, 2n, { account: poster }), 'OnlyProposer')
      await refused(tryPropose(ROOT, INTERVAL - 1n), 'BlockOutOfRange')
      await refused(tryPropose(ROOT, 1n << 64n), 'BlockOutOfRange')
      const { hash, number } = await l1.getBlock()
      await refused(tryPropose(ROOT, 2n, { hash: ROOT, at: number }), 'ParentBlockDiffers')
      await refused(tryPropose(ROOT, 2n, { hash, at: number - 1n }), 'ParentBlockDiffers')
      const before = await l1.getBlock({ blockNumber: number - 1n })
      await tryPropose(ROOT, 2n, { hash: before.hash, at: before.number })
      await refused(simulate(l1, oracle, 'deleteL2Outputs', [0n], { account: guardian }), 'OutputMissing')
      await refused(simulate(l1, oracle, 'deleteL2Outputs', [0n], { account: proposer }), 'OnlyGuardian')
    })
  })

  describe('a withdrawal', () => {
    it('is proven once', async () => {
      await propose()
      assert.equal(await status(first), 'ready-to-prove')
      const { output, withdrawal } = await l1.waitToProve({ receipt: first, targetChain })
      assert.deepEqual([output.outputIndex, withdrawal.value], [0n, parseEther('1')])
      assert.ok(await l1.estimateProveWithdrawalGas({ account: other, ...await proofOf(first), targetChain }) > 100_000n)
      firstProof = await prove(first)
      assert.equal(await status(first), 'waiting-to-finalize')
      const { period, seconds } = await l1.getTimeToFinalize({ withdrawalHash: withdrawal.withdrawalHash, targetChain })
      assert.equal(period, Number(PERIOD))
      assert.ok(seconds > Number(PERIOD) - 10)
      await refused(tryProve(firstProof), 'AlreadyProven')
      await refused(tryFinalize(withdrawal), 'TooEarly')
    })

    it('is called as it was proven, in all of its fields (Verus, May 2026)', async () => {
      const { withdrawal } = firstProof
      const { value, nonce } = withdrawal
      const changes = { value: value + 1n, target: owner.address, sender: owner.address, gasLimit: 1n, nonce: nonce + 1n, data: '0x00' }
      for (const [field, changed] of Object.entries(changes)) {
        const forged = { ...withdrawal, [field]: changed }
        await refused(tryProve(firstProof, { withdrawal: forged }), 'KeyMissing', field)
        await refused(tryFinalize(forged), 'NotProven', field)
      }
      await refused(tryProve(firstProof, { withdrawal: { ...withdrawal, target: portal.address } }), 'TargetReserved')
    })

    it('is proven by an output of which every field is read (BNB, October 2022)', async () => {
      const forged = { withdrawal: { ...firstProof.withdrawal, value: 2n } }
      const changed = (field, value) =>
        tryProve(firstProof, { ...forged, outputRootProof: { ...firstProof.outputRootProof, [field]: value } })
      await refused(changed('version', pad('0x01')), 'UnknownVersion')
      for (const field of ['stateRoot', 'messagePasserStorageRoot', 'latestBlockhash']) {
        await refused(changed(field, ROOT), 'OutputDiffers', field)
      }
      await refused(tryProve(firstProof, { ...forged, l2OutputIndex: 5n }), 'OutputMissing')
    })

    it('is proven by the nodes on its way, no more and no fewer (Hyperbridge, April 2026)', async () => {
      const receipt = await initiate({ to: other.address, value: 2n, gas: 21_000n })
      await propose()
      const proof = await proofOf(receipt)
      const nodes = proof.withdrawalProof
      const from = (withdrawalProof) => tryProve(proof, { withdrawalProof })
      await refused(from([]), 'ProofEnds')
      await refused(from(nodes.slice(0, -1)), 'ProofEnds')
      await refused(from(nodes.slice(1)), 'NodeDiffers')
      await refused(from([...nodes, '0x80']), 'NodesLeft')
      await refused(from([...nodes, nodes.at(-1)]), 'NodesLeft')
      // The nonce's slot is there, too, and another withdrawal's.
      const storageKeys = [pad('0x01'), keccak256(concat([firstProof.withdrawal.withdrawalHash, zeroHash]))]
      const { storageProof } = await l2.getProof({ address: passer.address, storageKeys, blockNumber: receipt.blockNumber })
      for (const { value, proof } of storageProof) {
        assert.ok(value > 0n)
        await refused(from(proof), /^(KeyMissing|NodeDiffers)$/)
      }
      await from(nodes)
    })

    it('is paid once', async () => {
      const { withdrawal, l2OutputIndex } = firstProof
      await travel(PERIOD + 11n)
      assert.equal(await status(first), 'ready-to-finalize')
      assert.ok(await l1.estimateFinalizeWithdrawalGas({ account: other, withdrawal, targetChain }) > 50_000n)
      const had = await l1.getBalance({ address: other.address })
      const receipt = await finalize(first)
      assert.equal(wasCalled(receipt), true)
      const paid = receipt.gasUsed * receipt.effectiveGasPrice
      assert.equal(await l1.getBalance({ address: other.address }), had + withdrawal.value - paid)
      assert.equal(await status(first), 'finalized')
      await refused(tryFinalize(withdrawal), 'AlreadyFinalized')
      await refused(tryProve(firstProof), 'AlreadyFinalized')
      assert.equal(await read(l1, portal, 'isOutputFinalized', [l2OutputIndex]), true)
      await refused(simulate(l1, oracle, 'deleteL2Outputs', [l2OutputIndex], { account: guardian }), 'OutputFinalized')
      assert.equal(await read(l1, portal, 'l2Sender'), NOBODY)
    })

    it('proven by an output that is deleted or replaced is not called', async () => {
      const receipt = await initiate({ to: other.address, value: 3n, gas: 30_000n })
      const { root, number, index } = await propose()
      const proof = await prove(receipt)
      const { withdrawal } = proof
      const remove = () => send(l1, oracle, 'deleteL2Outputs', [index], { account: guardian })
      const say = (said) => send(l1, oracle, 'proposeL2Output', [said, number, zeroHash, 0n], { account: proposer })
      await remove()
      assert.equal(await status(receipt), 'waiting-to-prove')
      assert.deepEqual(await read(l1, portal, 'provenWithdrawals', [withdrawal.withdrawalHash]), [zeroHash, 0n, 0n])
      await travel(PERIOD + 11n)
      await refused(tryFinalize(withdrawal), 'OutputDiffers', 'deleted')
      await say(ROOT)
      await refused(tryFinalize(withdrawal), 'OutputDiffers', 'replaced')
      await refused(tryProve(proof), 'OutputDiffers')
      await remove()
      // The proof stands again, but the output's time begins anew.
      await say(root)
      await refused(tryFinalize(withdrawal), 'TooEarly', 'said again')
      await refused(tryProve(proof), 'AlreadyProven')
      await remove()
      await l2.mine({ blocks: Number(INTERVAL) })
      await ripen(receipt)
      assert.equal(wasCalled(await finalize(receipt)), true)
    })

    it('of a slot with another value is none', async () => {
      const receipt = await initiate({ to: other.address, value: 1n, gas: 0n })
      const withdrawal = withdrawalOf(receipt)
      const index = keccak256(concat([withdrawal.withdrawalHash, zeroHash]))
      for (const value of ['0x02', '0x0101']) {
        await l2.setStorageAt({ address: passer.address, index, value: pad(value) })
        await l2.mine({ blocks: Number(INTERVAL) })
        const { number } = await propose()
        await refused(tryProve(await proofOf({ blockNumber: number }, withdrawal)), 'NotSent', value)
      }
    })

    it('waits while the guardian pauses, which has an end', async () => {
      const receipt = await initiate({ to: other.address, value: 4n, gas: 30_000n })
      await ripen(receipt)
      const by = (account) => ({ account })
      await refused(simulate(l1, portal, 'pause', [], by(owner)), 'OnlyGuardian')
      await send(l1, portal, 'pause', [], by(guardian))
      assert.equal(await read(l1, portal, 'paused'), true)
      await refused(tryFinalize(withdrawalOf(receipt)), 'WithdrawalsPaused')
      // The way in goes on.
      await send(l1, portal, 'depositTransaction', [user.address, 0n, 100_000n, false, '0x'], { value: 1n })
      await send(l1, portal, 'forceTransaction', ['0x02'])
      const early = () => refused(simulate(l1, portal, 'pause', [], by(guardian)), 'PauseTooSoon')
      await early()
      await travel(PAUSE + 1n)
      assert.equal(await read(l1, portal, 'paused'), false)
      await early()
      assert.equal(wasCalled(await finalize(receipt)), true)
      await travel(PAUSE)
      await send(l1, portal, 'pause', [], by(guardian))
      await send(l1, portal, 'unpause', [], by(guardian))
      await refused(simulate(l1, portal, 'unpause', [], by(guardian)), 'NotPaused')
      await early()
    })
  })

  describe('calls', () => {
    let again, another, keeps, fails, loops, answers, rich

    before(async () => {
      again = await initiate({ to: reentrant.address, value: 10n, gas: 600_000n, data: '0x01' })
      another = await initiate({ to: reentrant.address, value: 11n, gas: 600_000n, data: '0x02' })
      keeps = await initiate({ to: gas.address, value: 0n, gas: 300_000n, data: input(gas, 'keep') })
      fails = await initiate({ to: gas.address, value: 12n, gas: 100_000n, data: input(gas, 'fail') })
      loops = await initiate({ to: gas.address, value: 0n, gas: 100_000n, data: input(gas, 'loop') })
      answers = await initiate({ to: gas.address, value: 0n, gas: 5_000_000n, data: input(gas, 'answerLong') })
      rich = await initiate({ to: gas.address, value: parseEther('100'), gas: 100_000n, data: '0x' })
      await ripen(again, another, keeps, fails, loops, answers, rich)
    })

    for (const [name, inner] of [['itself', () => again], ['another', () => another]]) {
      it(`a callee that has ${name} called within gets its coins once (Messina, March 2026)`, () => undone(l1, async () => {
        await send(l1, reentrant, 'set', [input(portal, 'finalizeWithdrawalTransaction', [withdrawalOf(inner())])])
        assert.equal(wasCalled(await finalize(again, { gas: 2_000_000n })), true)
        assert.equal(await read(l1, reentrant, 'inside'), false)
        assert.equal(errorIn(await read(l1, reentrant, 'answer')), 'Reentered')
        assert.equal(await read(l1, reentrant, 'sender'), user.address)
        assert.equal(await l1.getBalance({ address: reentrant.address }), 10n)
        assert.equal(await read(l1, portal, 'l2Sender'), NOBODY)
      }))
    }

    it('a callee that sends a message is its alias there', async () => {
      await send(l1, reentrant, 'set', [input(portal, 'depositTransaction', [user.address, 0n, 100_000n, false, '0x'])])
      const receipt = await finalize(again, { gas: 2_000_000n })
      assert.equal(wasCalled(receipt), true)
      assert.equal(deposit(receipt).from.toLowerCase(), aliasOf(reentrant.address))
    })

    it('a callee has the gas that it was promised', async () => {
      const withdrawal = withdrawalOf(keeps)
      const least = await leastGas(withdrawal)
      await refused(tryFinalize(withdrawal, { account: other, gas: least - 1000n }), 'GasTooLow')
      await undone(l1, async () => {
        assert.equal(wasCalled(await finalize(keeps, { gas: least })), true)
        assert.ok(await read(l1, gas, 'had') > 299_000n)
      })
      assert.ok(await l1.estimateFinalizeWithdrawalGas({ account: other, withdrawal, targetChain }) >= least - 1000n)
    })

    it('a call that failed, without an end or with a long answer, is over', async () => {
      assert.equal(wasCalled(await finalize(fails)), false)
      await refused(tryFinalize(withdrawalOf(fails)), 'AlreadyFinalized')
      assert.equal(wasCalled(await finalize(loops, { gas: 400_000n })), false)
      assert.equal(wasCalled(await finalize(answers, { gas: 8_000_000n })), true)
    })

    it('what cannot be paid or called does not leave', async () => {
      await refused(tryFinalize(withdrawalOf(rich)), 'CoinsShort')
      await refused(simulate(l2, passer, 'initiateWithdrawal', [other.address, 12_000_001n, '0x']), 'GasLimitTooHigh')
      const long = toHex(new Uint8Array(LONGEST_MESSAGE + 1))
      await refused(simulate(l2, passer, 'initiateWithdrawal', [other.address, 1n, long], { gas: 30_000_000n }), 'DataTooLong')
    })
  })

  describe('proposers', () => {
    const FAR = 10n ** 6n

    it('who stay away are replaced by anybody, for one output', async () => {
      await refused(tryPropose(ROOT, FAR, { account: user }), 'OnlyProposer')
      await travel(await read(l1, oracle, 'fallbackFrom') - await now() + 1n)
      await send(l1, oracle, 'proposeL2Output', [ROOT, FAR, zeroHash, 0n], { account: user })
      await travel(3000n)
      await send(l1, oracle, 'deleteL2Outputs', [await read(l1, oracle, 'latestOutputIndex')], { account: guardian })
      assert.equal(await read(l1, oracle, 'fallbackFrom'), await now() + FALLBACK)
      await refused(tryPropose(ROOT, FAR, { account: user }), 'OnlyProposer')
    })

    it('are the posters unless the owner names others', async () => {
      await refused(simulate(l1, config, 'setProposers', [[]], { account: user }), 'OnlyOwner')
      await send(l1, config, 'setProposers', [[]])
      await tryPropose(ROOT, FAR, { account: poster })
      await send(l1, config, 'setProposers', [[proposer.address]])
      await refused(tryPropose(ROOT, FAR, { account: poster }), 'OnlyProposer')
    })
  })

  describe('messengers', () => {
    const ping = (word = ROOT) => input(receiver, 'ping', [word])
    /** How a message is named to be relayed again. */
    const argumentsOf = (from, receipt, value) => {
      const { messageNonce, sender, target, gasLimit, message } = only(events(from, receipt, 'SentMessage')).args
      return [messageNonce, sender, target, value, gasLimit, message]
    }
    const outcome = (at, receipt) => only(events(at, receipt)).eventName
    let kept

    it('carry calls and coins to the chain', async () => {
      const message = [receiverThere.address, ping(), 100_000]
      const done = await derive(await send(l1, messenger, 'sendMessage', message, { account: user, value: 77n }))
      assert.equal(outcome(chainMessenger, done), 'RelayedMessage')
      assert.equal(await read(l2, receiverThere, 'sender'), user.address)
      assert.equal(await read(l2, receiverThere, 'coins'), 77n)
    })

    it('keep what failed', async () => {
      await send(l2, receiverThere, 'set', [false])
      const message = [receiverThere.address, ping(zeroHash), 100_000]
      const receipt = await send(l1, messenger, 'sendMessage', message, { account: user, value: 5n })
      kept = argumentsOf(messenger, receipt, 5n)
      assert.equal(outcome(chainMessenger, await derive(receipt)), 'FailedRelayedMessage')
      await refused(simulate(l2, chainMessenger, 'relayMessage', kept), 'FailedAgain')
      await send(l2, receiverThere, 'set', [true])
    })

    it('know what was kept by all of it (Verus, May 2026)', async () => {
      const changed = { 1: owner.address, 2: owner.address, 3: 6n, 4: 300_000n, 5: '0x00' }
      for (const [at, value] of Object.entries(changed)) {
        await refused(simulate(l2, chainMessenger, 'relayMessage', kept.with(at, value)), 'NotFailed', `argument ${at}`)
      }
      await refused(simulate(l2, chainMessenger, 'relayMessage', kept.with(0, BigInt.asUintN(240, kept[0]))), 'UnknownVersion')
      await refused(simulate(l2, chainMessenger, 'relayMessage', kept, { value: 5n }), 'ValueDiffers')
    })

    it('relay again what was kept, once, for anybody', async () => {
      const { address, abi } = chainMessenger
      const gas = await l2.estimateContractGas({ address, abi, functionName: 'relayMessage', args: kept, account: other.address })
      await send(l2, chainMessenger, 'relayMessage', kept, { gas, account: other })
      assert.equal(await read(l2, receiverThere, 'coins'), 82n)
      await refused(simulate(l2, chainMessenger, 'relayMessage', kept), 'AlreadyRelayed')
    })

    it('believe no message of which nothing is known (Nomad, August 2022)', async () => {
      const message = [VERSION, user.address, receiverThere.address, 0n, 0n, '0x']
      const stranger = aliasOf(receiver.address)
      await l2.impersonateAccount({ address: stranger })
      for (const account of [other, stranger]) {
        await refused(simulate(l2, chainMessenger, 'relayMessage', message, { account }), 'NotFailed')
      }
      await refused(simulate(l1, messenger, 'relayMessage', message), 'NotFailed')
    })

    it('believe nobody when they have no counterpart, and nothing sets one (Nomad, August 2022)', async () => {
      const contracts = [...Object.values(PARENTS), ...Object.values(GENESIS)]
      for (const { abi } of contracts) assert.equal(abi.find(({ name }) => /initiali[sz]e|upgrade/i.test(name ?? '')), undefined)
      await undone(l2, async () => {
        await l2.setStorageAt({ address: chainMessenger.address, index: 0, value: zeroHash })
        await refused(simulate(l2, chainMessenger, 'sendMessage', [receiver.address, '0x', 0]), 'NoCounterpart')
        const message = [VERSION, user.address, receiverThere.address, 0n, 0n, '0x']
        for (const account of [zeroAddress, aliasOf(zeroAddress)]) {
          await refused(simulate(l2, chainMessenger, 'relayMessage', message, { account }), 'NotFailed')
        }
      })
    })

    it('do not speak to those who believe them (Poly Network, August 2021)', async () => {
      await refused(simulate(l1, messenger, 'sendMessage', [passer.address, '0x', 0]), 'TargetReserved')
      for (const target of [passer.address, chainMessenger.address]) {
        const message = [VERSION + 99n, user.address, target, 0n, 0n, '0x']
        await refused(simulate(l2, chainMessenger, 'relayMessage', message, { account: aliasOf(messenger.address) }), 'TargetReserved')
      }
    })

    it('carry calls and coins from the chain, and keep what failed there', async () => {
      const say = (value) => send(l2, chainMessenger, 'sendMessage', [receiver.address, ping(), 100_000], { account: user, value })
      const [taken, late] = [await say(33n), await say(44n)]
      await ripen(taken, late)
      await send(l1, receiver, 'set', [false])
      const estimate = await l1.estimateFinalizeWithdrawalGas({ account: other, withdrawal: withdrawalOf(late), targetChain })
      const failed = await finalize(late, { gas: estimate })
      assert.equal(wasCalled(failed), true)
      assert.equal(outcome(messenger, failed), 'FailedRelayedMessage')
      await send(l1, receiver, 'set', [true])
      assert.equal(wasCalled(await finalize(taken)), true)
      assert.equal(await read(l1, receiver, 'sender'), user.address)
      assert.equal(await read(l1, receiver, 'coins'), 33n)
      const again = argumentsOf(chainMessenger, late, 44n)
      await send(l1, messenger, 'relayMessage', again)
      assert.equal(await read(l1, receiver, 'coins'), 77n)
      await refused(simulate(l1, messenger, 'relayMessage', again), 'AlreadyRelayed')
      await refused(read(l1, messenger, 'xDomainMessageSender'), 'NoMessage')
    })

    it('believe the other messenger, not everybody whom the portal calls for (Poly Network, August 2021)', async () => {
      const data = input(messenger, 'relayMessage', [VERSION + 5n, owner.address, receiver.address, 0n, 0n, ping(zeroHash)])
      const forged = await initiate({ to: messenger.address, value: 0n, gas: 500_000n, data })
      await ripen(forged)
      assert.equal(wasCalled(await finalize(forged)), false)
      assert.equal(await read(l1, receiver, 'word'), ROOT)
    })

    it('give the gas that was asked for, both ways', async () => {
      const options = { account: user, gas: 16_000_000n }
      for (const size of [0, 1000, 30_000, 60_000]) {
        for (const asked of [0, 5_000, 300_000, 3_000_000]) {
          const what = `${size} bytes, ${asked} gas`
          const enough = (had) => assert.ok(asked < 5_000 || had + GAS_SLACK >= BigInt(asked), `${what}: ${had}`)
          const data = concat([input(gas, 'keep'), toHex(new Uint8Array(size).fill(7))])
          const done = await derive(await send(l1, messenger, 'sendMessage', [gasThere.address, data, asked], options))
          assert.equal(outcome(chainMessenger, done), 'RelayedMessage', what)
          enough(await read(l2, gasThere, 'had'))

          const receipt = await send(l2, chainMessenger, 'sendMessage', [gas.address, data, asked], options)
          await propose()
          const { withdrawal, l2OutputIndex, outputRootProof, withdrawalProof } = await proofOf(receipt)
          const args = [withdrawal, l2OutputIndex, outputRootProof, withdrawalProof]
          await send(l1, portal, 'proveWithdrawalTransaction', args, options)
          await travel(PERIOD + 11n)
          await undone(l1, async () => {
            assert.equal(outcome(messenger, await finalize(receipt, { gas: await leastGas(withdrawal) })), 'RelayedMessage', what)
            enough(await read(l1, gas, 'had'))
          })
        }
      }
    })
  })

  describe('bridges', () => {
    const RECEIVER_GAS = 300_000
    let token, local

    const bridged = (address) => ({ address, abi: BRIDGED_TOKEN })
    const balance = (account) => read(l1, token, 'balanceOf', [account.address])
    const deposits = (remote) => read(l1, bridge, 'deposits', [token.address, remote])
    async function oddToken(fee, answers) {
      const made = await deploy(l1, odd.OddToken, [fee, answers])
      await send(l1, made, 'approve', [bridge.address, 10n ** 30n])
      return made
    }
    const give = (from, to, amount) => send(l1, bridge, 'bridgeERC20', [from.address, to, amount, RECEIVER_GAS, '0x'])

    before(async () => {
      token = await oddToken(0n, 0)
      const pair = [token.address, 'Plain', 'PLN', 6]
      const receipt = await send(l2, factory, 'createOptimismMintableERC20WithDecimals', pair)
      local = only(events(factory, receipt, 'OptimismMintableERC20Created')).args.localToken
      assert.equal(await read(l2, factory, 'tokenAddress', pair), local)
      assert.equal(await read(l2, factory, 'deployments', [local]), token.address)
      await refused(simulate(l2, factory, 'createOptimismMintableERC20WithDecimals', pair), 'TokenExists')
    })

    it('tokens have the interfaces of OP\'s, and permits', async () => {
      assert.equal(await read(l2, bridged(local), 'decimals'), 6)
      for (const [id, known] of [['0xec4fc8e3', true], ['0x1d1d8b63', true], ['0xffffffff', false]]) {
        assert.equal(await read(l2, bridged(local), 'supportsInterface', [id]), known, id)
      }
      await refused(simulate(l2, bridged(local), 'mint', [user.address, 1n]), 'OnlyBridge')
      const names = { owner: 'address', spender: 'address', value: 'uint256', nonce: 'uint256', deadline: 'uint256' }
      const message = { owner: user.address, spender: other.address, value: 9n, nonce: 0n, deadline: 10n ** 12n }
      const { v, r, s } = parseSignature(await user.signTypedData({
        domain: { name: 'Plain', version: '1', chainId: l2.chain.id, verifyingContract: local },
        types: { Permit: Object.entries(names).map(([name, type]) => ({ name, type })) }, primaryType: 'Permit', message,
      }))
      await send(l2, bridged(local), 'permit', [message.owner, message.spender, message.value, message.deadline, Number(v), r, s])
      assert.equal(await read(l2, bridged(local), 'allowance', [user.address, other.address]), 9n)
    })

    it('tokens and coins go there and back; a made-up token gets nothing', async () => {
      await derive(await send(l1, bridge, 'depositERC20To', [token.address, local, user.address, 1000n, 200_000, '0xaa']))
      assert.equal(await read(l2, bridged(local), 'balanceOf', [user.address]), 1000n)
      assert.equal(await deposits(local), 1000n)
      const had = await l2.getBalance({ address: user.address })
      await derive(await send(l1, bridge, 'depositETH', [200_000, '0x'], { account: user, value: 500n }))
      assert.equal(await l2.getBalance({ address: user.address }), had + 500n)

      const account = user
      const tokens = await send(l2, chainBridge, 'withdrawTo', [local, other.address, 400n, 100_000, '0xbb'], { account })
      assert.equal(await read(l2, bridged(local), 'totalSupply'), 600n)
      const coins = await send(l2, chainBridge, 'withdraw', [COINS, 300n, 100_000, '0x'], { account, value: 300n })
      const fake = await deploy(l2, odd.MadeUpToken, [token.address, chainBridge.address])
      const made = await send(l2, chainBridge, 'bridgeERC20', [fake.address, token.address, 500n, 100_000, '0x'], { account })
      await ripen(tokens, coins, made)
      assert.equal(wasCalled(await finalize(tokens)), true)
      assert.deepEqual([await balance(other), await deposits(local)], [400n, 600n])
      const before = await l1.getBalance({ address: user.address })
      assert.equal(wasCalled(await finalize(coins)), true)
      assert.equal(await l1.getBalance({ address: user.address }), before + 300n)
      assert.equal(only(events(messenger, await finalize(made))).eventName, 'FailedRelayedMessage')
      assert.equal(await deposits(local), 600n)
    })

    it('tokens for what is no pair come back', async () => {
      const had = await balance(owner)
      const back = await derive(await give(token, receiverThere.address, 50n))
      only(events(chainBridge, back, 'ERC20BridgeReturned'))
      await ripen(back)
      assert.equal(wasCalled(await finalize(back)), true)
      assert.deepEqual([await balance(owner), await deposits(receiverThere.address)], [had, 0n])
    })

    it('tokens for one that is not yet there wait until it is', async () => {
      const later = await read(l2, factory, 'tokenAddress', [token.address, 'Later', 'L', 18])
      const receipt = await give(token, later, 60n)
      assert.equal(only(events(chainMessenger, await derive(receipt))).eventName, 'FailedRelayedMessage')
      await send(l2, factory, 'createOptimismMintableERC20', [token.address, 'Later', 'L'])
      const { messageNonce, sender, target, gasLimit, message } = only(events(messenger, receipt, 'SentMessage')).args
      await send(l2, chainMessenger, 'relayMessage', [messageNonce, sender, target, 0n, gasLimit, message])
      assert.equal(await read(l2, bridged(later), 'balanceOf', [owner.address]), 60n)
    })

    it('what came is counted, whatever the token says', async () => {
      const taking = await oddToken(10n, 1)
      const receipt = await give(taking, local, 1000n)
      assert.equal(only(events(bridge, receipt, 'ERC20BridgeInitiated')).args.amount, 900n)
      assert.equal(await read(l1, bridge, 'deposits', [taking.address, local]), 900n)
      // It is another token's pair.
      const supply = await read(l2, bridged(local), 'totalSupply')
      only(events(chainBridge, await derive(receipt), 'ERC20BridgeReturned'))
      assert.equal(await read(l2, bridged(local), 'totalSupply'), supply)
      const there = [local, taking.address, 1n, 100_000, '0x']
      await refused(simulate(l2, chainBridge, 'bridgeERC20', there, { account: user }), 'NotAPair')
      const refusing = await oddToken(0n, 2)
      const tryToken = (from, amount) => simulate(l1, bridge, 'bridgeERC20', [from, local, amount, 100_000, '0x'])
      await refused(tryToken(refusing.address, 1n), 'TransferFailed')
      await refused(tryToken(token.address, 0n), 'AmountZero')
      await assert.rejects(tryToken(user.address, 1n), 'what is no token')
      const nobody = [token.address, local, zeroAddress, 1n, 100_000, '0x']
      await refused(simulate(l1, bridge, 'bridgeERC20To', nobody), 'RecipientInvalid')
    })

    it('a token that deposits while it is counted counts once', async () => {
      const hooked = await oddToken(10n, 0)
      await send(l1, hooked, 'give', [hooked.address, 10n ** 6n, bridge.address])
      const inner = input(bridge, 'bridgeERC20To', [hooked.address, local, user.address, 500n, 100_000, '0x'])
      await send(l1, hooked, 'setHook', [bridge.address, inner])
      await give(hooked, local, 1000n)
      assert.deepEqual([await read(l1, hooked, 'hookCalled'), await read(l1, hooked, 'hookWent')], [true, false])
      const counted = await read(l1, bridge, 'deposits', [hooked.address, local])
      assert.equal(counted, await read(l1, hooked, 'balanceOf', [bridge.address]))
      assert.equal(counted, 900n)
    })

    it('give by the other bridge\'s word only (Poly Network, August 2021)', async () => {
      for (const [client, contract] of [[l1, bridge], [l2, chainBridge]]) {
        const tokens = [token.address, local, user.address, user.address, 1n, '0x']
        await refused(simulate(client, contract, 'finalizeBridgeERC20', tokens), 'OnlyOtherBridge')
        await refused(simulate(client, contract, 'finalizeBridgeETH', [user.address, user.address, 0n, '0x']), 'OnlyOtherBridge')
      }
    })
  })

  describe('senders', () => {
    it('that are contracts name who gets it', async () => {
      for (const [client, { address }] of [[l1, receiver], [l2, receiverThere]]) {
        await client.impersonateAccount({ address })
        await client.setBalance({ address, value: parseEther('1') })
      }
      const [account, there] = [receiver.address, receiverThere.address]
      for (const { address } of [portal, bridge]) await refused(l1.call({ account, to: address, value: 1n }), 'OnlyAccounts')
      await refused(simulate(l1, bridge, 'bridgeETH', [1, '0x'], { account, value: 1n }), 'OnlyAccounts')
      await refused(simulate(l1, bridge, 'depositERC20', [account, account, 1n, 1, '0x'], { account }), 'OnlyAccounts')
      await refused(l2.call({ account: there, to: passer.address, value: 1n }), 'OnlyAccounts')
      await refused(simulate(l2, chainBridge, 'withdraw', [COINS, 1n, 1, '0x'], { account: there, value: 1n }), 'OnlyAccounts')
      const receipt = await send(l1, portal, 'depositTransaction', [account, 1n, 100_000n, false, '0x'], { account, value: 1n })
      assert.equal(deposit(receipt).from.toLowerCase(), aliasOf(account))
    })

    it('that have a key are themselves, also if they delegate (EIP-7702)', async () => {
      await l1.setCode({ address: delegating.address, bytecode: concat(['0xef0100', receiver.address]) })
      assert.equal(deposit(await pay(l1, delegating, portal.address, 2n)).from, delegating.address)
      // By the bridge it is the messenger who speaks.
      assert.equal(deposit(await pay(l1, user, bridge.address, 8n)).from.toLowerCase(), aliasOf(messenger.address))
    })
  })

  describe('a chain with a coin of its own', () => {
    it('takes and gives no coins of its parent', async () => {
      const own = await deploy(l1, PARENTS.Portal, [MAX_GAS, oracle.address, false])
      const message = [user.address, 1n, 100_000n, false, '0x']
      await refused(simulate(l1, own, 'depositTransaction', message, { value: 1n }), 'CoinsRefused')
      await refused(simulate(l1, own, 'donateETH', [], { value: 1n }), 'CoinsRefused')
      await simulate(l1, own, 'depositTransaction', message)
      const { withdrawal, l2OutputIndex, outputRootProof, withdrawalProof } = firstProof
      const args = [withdrawal, l2OutputIndex, outputRootProof, withdrawalProof]
      await refused(simulate(l1, own, 'proveWithdrawalTransaction', args), 'CoinsRefused')
      await undone(l2, async () => {
        await l2.setStorageAt({ address: passer.address, index: 2, value: pad('0x01') })
        await refused(simulate(l2, passer, 'initiateWithdrawal', [user.address, 1n, '0x'], { value: 1n }), 'CoinsRefused')
        await simulate(l2, passer, 'initiateWithdrawal', [user.address, 1n, '0x'])
      })
    })
  })

  describe('constructors', () => {
    const tryTerms = (contract, args) => l1.call({ data: encodeDeployData({ ...contract, args }) })

    it('refuse terms out of their bounds', async () => {
      await refused(tryTerms(PARENTS.Portal, [20_999n, oracle.address, true]), 'GasLimitTooLow')
      await refused(tryTerms(PARENTS.Portal, [MAX_GAS, user.address, true]), 'NoOracle')
      const wrong = [
        ['submissionInterval', 0n], ['blockTime', 0n], ['startingTimestamp', 10n ** 12n], ['finalizationPeriod', 0n],
        ['finalizationPeriod', A_YEAR + 1n], ['fallbackDelay', 0n],
      ]
      for (const [name, value] of wrong) {
        await refused(tryTerms(PARENTS.OutputOracle, [{ ...terms, [name]: value }]), 'TermOutOfRange', name)
      }
    })

    it('lack of viem\'s ABIs only what initializes, names by other names, or burns', async () => {
      const { l2OutputOracleAbi, l2ToL1MessagePasserAbi, portalAbi } = await import(join(MODULES, 'viem/_esm/op-stack/abis.js'))
      const names = (theirs, ours) => lacking(theirs, ours).map((signature) => signature.split('(')[0])
      assert.deepEqual(names(portalAbi, portal.abi), ['Initialized', 'GUARDIAN', 'SYSTEM_CONFIG', 'initialize', 'params'])
      assert.deepEqual(names(l2OutputOracleAbi, oracle.abi), ['Initialized', 'CHALLENGER', 'PROPOSER', 'computeL2Timestamp', 'initialize'])
      assert.deepEqual(names(l2ToL1MessagePasserAbi, passer.abi), ['WithdrawerBalanceBurnt', 'burn'])
    })
  })
})
