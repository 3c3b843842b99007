// A small wallet as an extension injects it: an EIP-1193 provider that announces itself (EIP-6963). It confirms
// everything, and calls the chains' nodes straight from the page.
import { createWalletClient, defineChain, hexToNumber, http, isHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const account = privateKeyToAccount(WALLET_KEY)
const networks = new Map([['0x1', { chainName: 'Ethereum', rpcUrls: [], nativeCurrency: { decimals: 18 } }]])
const listeners = new Map()
let current = '0x1'
let connected = false

class ProviderRpcError extends Error {
  constructor(code, message, data) {
    super(message)
    Object.assign(this, { code, data })
  }
}

const emit = (event, value) => { for (const listener of listeners.get(event) ?? []) listener(value) }

async function ask(url, method, params) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    // As the page asked: some leave out what is empty.
    body: JSON.stringify({ jsonrpc: '2.0', id: crypto.randomUUID(), method, params }),
  })
  const { result, error } = await response.json()
  if (error) throw new ProviderRpcError(error.code, error.message, error.data)
  return result
}

function client() {
  const { chainName, rpcUrls, nativeCurrency } = networks.get(current)
  const chain = defineChain({
    id: hexToNumber(current), name: chainName, nativeCurrency, rpcUrls: { default: { http: rpcUrls } },
  })
  return createWalletClient({ account, chain, transport: http(rpcUrls[0], { retryCount: 0 }) })
}

/** EIP-3085: the node must say that it is the chain the page calls it. Then it is switched to, as wallets offer. */
async function addChain({ chainId, chainName, nativeCurrency, rpcUrls }) {
  if (!isHex(chainId) || !chainName || !rpcUrls?.length || nativeCurrency?.decimals !== 18) {
    throw new ProviderRpcError(-32602, 'chainId, chainName, rpcUrls and a currency of 18 decimals are needed')
  }
  const told = await ask(rpcUrls[0], 'eth_chainId')
  if (told !== chainId) throw new ProviderRpcError(-32602, `the RPC does not match the chain id: it is ${told}`)
  networks.set(chainId, { chainName, nativeCurrency, rpcUrls })
  return switchChain({ chainId })
}

/** EIP-3326. */
function switchChain({ chainId }) {
  if (!networks.has(chainId)) throw new ProviderRpcError(4902, `unrecognized chain ${chainId}: add it first`)
  if (chainId !== current) emit('chainChanged', current = chainId)
  return null
}

function accounts() {
  if (!connected) emit('accountsChanged', [account.address])
  connected = true
  return [account.address]
}

const methods = {
  eth_chainId: () => current,
  eth_accounts: () => (connected ? [account.address] : []),
  eth_requestAccounts: accounts,
  wallet_addEthereumChain: ([parameters]) => addChain(parameters),
  wallet_switchEthereumChain: ([parameters]) => switchChain(parameters),
  eth_sendTransaction: ([{ from, to, value, data, gas }]) => {
    if (from?.toLowerCase() !== account.address.toLowerCase()) {
      throw new ProviderRpcError(4100, 'not an account of this wallet')
    }
    return client().sendTransaction({ to, data, value: value && BigInt(value), gas: gas && BigInt(gas) })
  },
  personal_sign: ([message]) => account.signMessage({ message: { raw: message } }),
  eth_signTypedData_v4: ([, typedData]) => account.signTypedData(JSON.parse(typedData)),
}

const provider = {
  async request({ method, params }) {
    const own = methods[method]
    if (own) return own(params)
    if (method.startsWith('wallet_')) throw new ProviderRpcError(4200, `${method} is not supported`)
    const [url] = networks.get(current).rpcUrls
    if (!url) throw new ProviderRpcError(4901, 'not connected to this chain')
    return ask(url, method, params)
  },
  on(event, listener) {
    listeners.set(event, (listeners.get(event) ?? new Set()).add(listener))
    return provider
  },
  removeListener(event, listener) {
    listeners.get(event)?.delete(listener)
    return provider
  },
}

const info = {
  uuid: crypto.randomUUID(), name: 'Test Wallet', icon: 'data:image/svg+xml,<svg/>', rdns: 'example.test.wallet',
}
const announce = () => window.dispatchEvent(
  new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }),
)
window.addEventListener('eip6963:requestProvider', announce)
announce()
