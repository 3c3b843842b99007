import { buildModule } from '@nomicfoundation/hardhat-ignition/modules'

export default buildModule('Launch', (m) => {
  const probe = m.contract('Probe')
  const coin = m.contract('Coin', [1000n])
  m.call(probe, 'store', [1n, 11n])
  m.call(coin, 'transfer', [probe, 5n])
  return { probe, coin }
})
