"Everything of the package that settings.ini and README.md say, once."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(here / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=cfg["keywords"].split(),
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=f">={cfg['min_python']}",
    # data/mini and results travel inside the package, so that the quickstart and the tutorials need no clone
    packages=[*find_packages(include=["custom_rm", "custom_rm.*"]), "custom_rm.mini", "custom_rm.recipes", "custom_rm.results", "custom_rm.roles", "custom_rm.studies"],
    package_dir={"custom_rm.mini": "data/mini", "custom_rm.results": "results"},
    package_data={"custom_rm": ["*.html"], "custom_rm.mini": ["*.json"], "custom_rm.results": ["*.json", "*/*.json"], "custom_rm.recipes": ["*.yaml"], "custom_rm.roles": ["*.yaml"], "custom_rm.studies": ["*.yaml"]},
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split(), "serve": cfg["serve_requirements"].split(), "excel": cfg["excel_requirements"].split(), "ray": cfg["ray_requirements"].split(), "collect": cfg["collect_requirements"].split(), "vote": cfg["vote_requirements"].split(), "notebooks": ["jupyterlab>=4.2"]},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
    },
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)),
    ],
)
