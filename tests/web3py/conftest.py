"""What web3.py's module tests ask for, made on the devnet that CAUSEWAY_RPC names."""

import os
import sys
import time

import pytest
import pytest_asyncio
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3._utils.contract_sources.contract_data.emitter_contract import EMITTER_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.math_contract import MATH_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.offchain_lookup import OFFCHAIN_LOOKUP_DATA
from web3._utils.contract_sources.contract_data.panic_errors_contract import (
    PANIC_ERRORS_CONTRACT_DATA,
)
from web3._utils.contract_sources.contract_data.revert_contract import REVERT_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.storage_contract import STORAGE_CONTRACT_DATA
from web3._utils.module_testing.utils import RequestMocker

URL = os.environ["CAUSEWAY_RPC"]
# The first account of the development mnemonic.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

CONTRACTS = {
    "math": MATH_CONTRACT_DATA,
    "emitter": EMITTER_CONTRACT_DATA,
    "revert": REVERT_CONTRACT_DATA,
    "panic_errors": PANIC_ERRORS_CONTRACT_DATA,
    "offchain_lookup": OFFCHAIN_LOOKUP_DATA,
    "storage": STORAGE_CONTRACT_DATA,
}


# These want a transaction to be in no block yet when they look, and blocks are a quarter of a second
# apart: they get another try.
IN_TIME = (
    "modify_transaction",
    "replace_transaction",
    "receipt_unmined",
    "get_raw_transaction_raises",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if any(name in item.name for name in IN_TIME):
            item.add_marker(pytest.mark.flaky(reruns=4))


class Chain:
    """Contracts and blocks that were made once, for all tests."""

    def __init__(self, w3):
        self.w3 = w3
        self.addresses, self.deployments = {}, {}
        for name, data in CONTRACTS.items():
            contract = w3.eth.contract(abi=data["abi"], bytecode=data["bytecode"])
            sent = contract.constructor().transact({"from": ADDRESS})
            receipt = w3.eth.wait_for_transaction_receipt(sent)
            assert receipt["status"] == 1, name
            self.addresses[name], self.deployments[name] = receipt["contractAddress"], sent
        transfer = {"from": ADDRESS, "to": ADDRESS, "value": 1, "gas": 21000}
        self.mined = w3.eth.send_transaction(transfer)
        self.block = self.block_of(self.mined)
        emitter = self.contract(w3, "emitter")
        self.logged = emitter.functions.logDouble(9, 12345, 54321).transact({"from": ADDRESS})
        self.block_with_log = self.block_of(self.logged)
        self.empty = self.an_empty_block()

    def an_empty_block(self):
        """One that nobody sent anything for: it comes when the chain has been idle for a while."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for number in range(self.w3.eth.block_number, 0, -1):
                block = self.w3.eth.get_block(number)
                if not block["transactions"]:
                    return block
            time.sleep(0.2)
        raise TimeoutError("no empty block in 30 s")

    def block_of(self, sent):
        receipt = self.w3.eth.wait_for_transaction_receipt(sent)
        return self.w3.eth.get_block(receipt["blockNumber"])

    def contract(self, w3, name):
        return w3.eth.contract(address=self.addresses[name], abi=CONTRACTS[name]["abi"])


@pytest.fixture(scope="session")
def w3():
    return Web3(HTTPProvider(URL))


@pytest_asyncio.fixture(scope="session")
async def async_w3():
    w3 = AsyncWeb3(AsyncHTTPProvider(URL))
    yield w3
    await w3.provider.disconnect()


@pytest.fixture(scope="session")
def chain(w3):
    return Chain(w3)


@pytest.fixture(autouse=True)
def settled(w3):
    """Nothing of an earlier test waits any more: several take the newest nonce for the next."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if w3.eth.get_transaction_count(ADDRESS) == w3.eth.get_transaction_count(ADDRESS, "pending"):
            return
        time.sleep(0.02)


@pytest.fixture
def request_mocker():
    return RequestMocker


@pytest.fixture
def skip_if_testrpc():
    return lambda _: None


async_skip_if_testrpc = skip_if_testrpc


@pytest.fixture(scope="session")
def keyfile_account_pkey():
    return KEY


@pytest.fixture(scope="session")
def keyfile_account_address():
    return ADDRESS


@pytest.fixture(scope="session")
def async_keyfile_account_address():
    return ADDRESS


@pytest.fixture(params=[bytes.fromhex(ADDRESS[2:]), ADDRESS], ids=["bytes", "text"])
def keyfile_account_address_dual_type(request):
    return request.param


@pytest.fixture(params=[bytes.fromhex(ADDRESS[2:]), ADDRESS], ids=["bytes", "text"])
def async_keyfile_account_address_dual_type(request):
    return request.param


def made(name, make):
    """Adds a fixture and its namesake for the asynchronous tests."""
    module = sys.modules[__name__]

    def fixture(chain):
        return make(chain)

    setattr(module, name, pytest.fixture(scope="session", name=name)(fixture))

    def twin(chain):
        return make(chain)

    setattr(module, f"async_{name}", pytest.fixture(scope="session", name=f"async_{name}")(twin))


made("mined_txn_hash", lambda chain: chain.mined.to_0x_hex())
made("block_with_txn", lambda chain: chain.block)
made("txn_hash_with_log", lambda chain: chain.logged.to_0x_hex())
made("block_with_txn_with_log", lambda chain: chain.block_with_log)
made("empty_block", lambda chain: chain.empty)
made("math_contract_deploy_txn_hash", lambda chain: chain.deployments["math"].to_0x_hex())
for _name in CONTRACTS:
    made(f"{_name}_contract_address", lambda chain, name=_name: chain.addresses[name])


def contract(name):
    def fixture(w3, chain):
        return chain.contract(w3, name)

    def twin(async_w3, chain):
        return chain.contract(async_w3, name)

    module = sys.modules[__name__]
    for fixture_name, function in [(f"{name}_contract", fixture), (f"async_{name}_contract", twin)]:
        setattr(module, fixture_name, pytest.fixture(name=fixture_name)(function))


for _name in CONTRACTS:
    contract(_name)
