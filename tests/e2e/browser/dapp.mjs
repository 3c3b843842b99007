// An application as they are written today: wagmi finds the wallet, and does what the buttons say.
import {
  connect, createConfig, getBalance, readContract, sendTransaction, signTypedData, switchChain,
  waitForTransactionReceipt, watchConnection, writeContract,
} from '@wagmi/core'
import { createPublicClient, defineChain, http, maxUint256, parseSignature, webSocket } from 'viem'
import { mainnet } from 'viem/chains'

const { id, rpc, ws, recipient, token, permit: typedData } = await (await fetch('config.json')).json()
const chain = defineChain({
  id, name: 'Causeway', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [rpc] } },
})
const config = createConfig({
  chains: [mainnet, chain], transports: { [mainnet.id]: http(rpc), [id]: http(rpc, { batch: true, retryCount: 0 }) },
  pollingInterval: 100,
})

const show = (where, what) => { document.getElementById(where).textContent = what }
const connector = () => config.connectors.find((found) => found.id === 'example.test.wallet')

async function included(hash) {
  const { status, blockNumber } = await waitForTransactionReceipt(config, { hash })
  return `${status} in block ${blockNumber}: ${hash}`
}

async function permit() {
  const { owner, spender, value } = typedData.message
  const contract = { address: token.address, abi: token.abi, chainId: id }
  const nonce = await readContract(config, { ...contract, functionName: 'nonces', args: [owner] })
  const message = { ...typedData.message, value: BigInt(value), nonce, deadline: maxUint256 }
  const { v, r, s } = parseSignature(await signTypedData(config, { ...typedData, message }))
  const args = [owner, spender, message.value, maxUint256, Number(v), r, s]
  await included(await writeContract(config, { ...contract, functionName: 'permit', args }))
  return `allowance ${await readContract(config, { ...contract, functionName: 'allowance', args: [owner, spender] })}`
}

const buttons = {
  async connect() {
    await connect(config, { connector: connector() })
    return 'connected'
  },
  async network() {
    await switchChain(config, { chainId: id })
    return 'switched'
  },
  async send() {
    return included(await sendTransaction(config, { to: recipient, value: 10n ** 17n, chainId: id }))
  },
  async overspend() {
    const { value } = await getBalance(config, { address: typedData.message.owner, chainId: id })
    return sendTransaction(config, { to: recipient, value: value * 2n, gas: 21_000n, chainId: id })
  },
  permit,
  async impostor() {
    const provider = await connector().getProvider()
    const chainId = `0x${(id + 1).toString(16)}`
    const { nativeCurrency } = chain
    await provider.request({
      method: 'wallet_addEthereumChain', params: [{ chainId, chainName: 'Impostor', nativeCurrency, rpcUrls: [rpc] }],
    })
    return 'the wallet took it'
  },
}
for (const [name, act] of Object.entries(buttons)) {
  document.getElementById(name).addEventListener('click', () => {
    show('status', 'working')
    act().then((done) => show('status', done), (error) => show('status', `error: ${error.message}`))
  })
}

watchConnection(config, {
  onChange({ address, chainId }) {
    show('account', address ?? '')
    show('chain', chainId ?? '')
  },
})
show('wallet', connector()?.name ?? 'none')
createPublicClient({ chain, transport: webSocket(ws, { retryCount: 0 }) }).watchBlockNumber({
  emitOnBegin: true,
  onBlockNumber: (number) => show('block', number),
  onError: (error) => show('block', `error: ${error.message}`),
})
