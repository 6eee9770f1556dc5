"""Connection files: opened by a double click, they ask for the password and bring the tables."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from pipeline.powerbi.catalog import Catalog
from pipeline.powerbi.names import file_names
from pipeline.powerbi.queries import FEED_URL, postgres_place, standalone

FORMATS = ("odc", "pbids")
_HTML = "http://www.w3.org/TR/REC-html40"
_ODC = f"""<html xmlns:o="urn:schemas-microsoft-com:office:office" xmlns="{_HTML}">
<head>
<meta http-equiv=Content-Type content="text/x-ms-odc; charset=utf-8">
<meta name=ProgId content=ODC.Database>
<meta name=SourceType content=OLEDB>
<title>{{name}}</title>
<xml id=docprops><o:DocumentProperties xmlns:o="urn:schemas-microsoft-com:office:office" xmlns="{_HTML}">
<o:Description>{{description}}</o:Description>
<o:Name>{{name}}</o:Name>
</o:DocumentProperties></xml>
<xml id=msodc><odc:OfficeDataConnection xmlns:odc="urn:schemas-microsoft-com:office:odc" xmlns="{_HTML}">
<odc:PowerQueryConnection odc:Type="OLEDB">
<odc:ConnectionString>Provider=Microsoft.Mashup.OleDb.1;Data Source=$Workbook$;Location=&quot;{{name}}&quot;;Extended Properties=&quot;&quot;</odc:ConnectionString>
<odc:CommandType>SQL</odc:CommandType>
<odc:CommandText>SELECT * FROM [{{name}}]</odc:CommandText>
</odc:PowerQueryConnection>
<odc:PowerQueryMashupData>{{mashup}}</odc:PowerQueryMashupData>
</odc:OfficeDataConnection></xml>
</head>
</html>
"""
_MASHUP = (
    '<Mashup xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns="http://schemas.microsoft.com/DataMashup"><Client>EXCEL</Client><Version>2.116.622.0</Version>'
    "<MinVersion>2.21.0.0</MinVersion><Culture>en-US</Culture><SafeCombine>true</SafeCombine><Items>"
    '<Query Name="{name}"><Formula><![CDATA[{formula}]]></Formula><IsParameterQuery xsi:nil="true" />'
    '<IsDirectQuery xsi:nil="true" /></Query></Items></Mashup>'
)


def pbids(url: str | None, mode: str = "import") -> str:
    """Power BI's: it asks for the password and shows the list of tables."""
    details: dict[str, Any] = {"protocol": "odata", "address": {"url": (url or FEED_URL).rstrip("/") + "/"}}
    if mode == "directquery":
        server, database = postgres_place(url)
        details = {"protocol": "postgresql", "address": {"server": server, "database": database}}
    shown = "DirectQuery" if mode == "directquery" else "Import"
    connections = [{"details": details, "options": {}, "mode": shown}]
    return json.dumps({"version": "0.1", "connections": connections}, indent=2) + "\n"


def odc_files(catalog: Catalog, url: str | None) -> dict[str, str]:
    """Excel's, one for each table: file name -> text. The query in it is the one of Power BI, in plain M."""
    names = file_names(table.name for table in catalog.tables)
    files = {}
    for table in catalog.tables:
        formula = standalone(table, url).replace("]]>", "]]]]><![CDATA[>")
        mashup = _MASHUP.format(name=escape(table.name), formula=formula)
        text = _ODC.format(name=escape(table.name), description=escape(table.description), mashup=escape(mashup))
        files[f"{names[table.name]}.odc"] = text
    return files
